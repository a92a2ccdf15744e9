# SPDX-License-Identifier: GPL-2.0-or-later
# Everything but main is a library, so that tests link what the daemon has.
noinst_LIBRARIES += libmndcore.a
libmndcore_a_SOURCES = \
	mnd/attach.c mnd/attach.h \
	mnd/homeaddr.c mnd/homeaddr.h \
	mnd/lu.c mnd/lu.h \
	mnd/mnd.c mnd/mnd.h \
	mnd/pmtu.c mnd/pmtu.h \
	mnd/ra.c mnd/ra.h \
	mnd/rc.c mnd/rc.h \
	mnd/session.c mnd/session.h \
	mnd/settings.c mnd/settings.h \
	mnd/state.c mnd/state.h

DAEMON_LIBS = libcommon.a $(EV_LIBS) $(SODIUM_LIBS) $(MNL_LIBS) $(INIH_LIBS) $(JANSSON_LIBS) $(BPF_LIBS) $(CAPNG_LIBS) $(SYSTEMD_LIBS)

sbin_PROGRAMS += mnd/mnd
mnd_mnd_SOURCES = mnd/main.c
mnd_mnd_LDADD = libmndcore.a $(DAEMON_LIBS)

bin_PROGRAMS += mnd/mnctl
mnd_mnctl_SOURCES = mnd/mnctl.c
mnd_mnctl_LDADD = libcommon.a $(SODIUM_LIBS) $(JANSSON_LIBS)
