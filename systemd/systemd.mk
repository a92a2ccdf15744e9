# SPDX-License-Identifier: GPL-2.0-or-later
systemdsystemunit_DATA = systemd/mnd.service systemd/amad.service
sysusersdir = $(prefix)/lib/sysusers.d
sysusers_DATA = systemd/sysusers.d/dmm.conf
tmpfilesdir = $(prefix)/lib/tmpfiles.d
tmpfiles_DATA = systemd/tmpfiles.d/dmm.conf
dist_doc_DATA = doc/programs.md
docexampledir = $(docdir)/examples
dist_docexample_SCRIPTS = examples/address-types.py
dist_docexample_DATA = systemd/mnd-exe.conf systemd/dmm.networkd.conf systemd/dmm.network systemd/dmm.NetworkManager.conf systemd/dmm.nft systemd/firewalld-service-dmm.xml
EXTRA_DIST += systemd/mnd.service.in systemd/amad.service.in systemd/sysusers.conf.in systemd/tmpfiles.conf.in
CLEANFILES += $(systemdsystemunit_DATA) $(sysusers_DATA) $(tmpfiles_DATA)

# [@]: what configure would replace here as well
make_fragment = $(AM_V_GEN)$(MKDIR_P) $(@D) && $(SED) -e 's,[@]sbindir@,$(sbindir),g' -e 's,[@]sysconfdir@,$(sysconfdir),g' \
	-e 's,[@]runstatedir@,$(runstatedir),g' -e 's,[@]user@,$(daemon_user),g'
systemd/mnd.service: $(srcdir)/systemd/mnd.service.in Makefile
	$(make_fragment) $(srcdir)/systemd/mnd.service.in > $@.tmp && mv $@.tmp $@
systemd/amad.service: $(srcdir)/systemd/amad.service.in Makefile
	$(make_fragment) $(srcdir)/systemd/amad.service.in > $@.tmp && mv $@.tmp $@
$(sysusers_DATA): $(srcdir)/systemd/sysusers.conf.in Makefile
	$(make_fragment) $(srcdir)/systemd/sysusers.conf.in > $@.tmp && mv $@.tmp $@
$(tmpfiles_DATA): $(srcdir)/systemd/tmpfiles.conf.in Makefile
	$(make_fragment) $(srcdir)/systemd/tmpfiles.conf.in > $@.tmp && mv $@.tmp $@
