# SPDX-License-Identifier: GPL-2.0-or-later
systemdsystemunit_DATA = systemd/mnd.service systemd/amad.service
docexampledir = $(docdir)/examples
dist_docexample_DATA = systemd/dmm.networkd.conf systemd/dmm.NetworkManager.conf
EXTRA_DIST += systemd/mnd.service.in systemd/amad.service.in
CLEANFILES += $(systemdsystemunit_DATA)

make_unit = $(AM_V_GEN)$(MKDIR_P) systemd && $(SED) -e 's,@sbindir@,$(sbindir),g'
systemd/mnd.service: $(srcdir)/systemd/mnd.service.in
	$(make_unit) $(srcdir)/systemd/mnd.service.in > $@.tmp && mv $@.tmp $@
systemd/amad.service: $(srcdir)/systemd/amad.service.in
	$(make_unit) $(srcdir)/systemd/amad.service.in > $@.tmp && mv $@.tmp $@
