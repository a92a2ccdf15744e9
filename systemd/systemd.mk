# SPDX-License-Identifier: GPL-2.0-or-later
systemdsystemunit_DATA = systemd/mnd.service systemd/amad.service
docexampledir = $(docdir)/examples
dist_docexample_DATA = systemd/dmm.networkd.conf systemd/dmm.NetworkManager.conf
EXTRA_DIST += systemd/mnd.service.in systemd/amad.service.in
CLEANFILES += $(systemdsystemunit_DATA)

systemd/%.service: $(srcdir)/systemd/%.service.in
	$(AM_V_GEN)$(MKDIR_P) systemd && $(SED) -e 's,@sbindir@,$(sbindir),g' $< > $@.tmp && mv $@.tmp $@
