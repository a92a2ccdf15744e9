# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libamadcore.a
libamadcore_a_SOURCES = \
	amad/amad.c amad/amad.h amad/anchor.h \
	amad/anchoring.c amad/anchoring.h \
	amad/lm.c amad/lm.h \
	amad/methods.c \
	amad/mr.c amad/mr.h \
	amad/peers.c \
	amad/rc.c amad/rc.h \
	amad/serving.c amad/serving.h \
	amad/settings.c amad/settings.h \
	amad/store.h amad/store_lmdb.c \
	amad/updates.c

sbin_PROGRAMS += amad/amad
amad_amad_SOURCES = amad/main.c
amad_amad_LDADD = libamadcore.a $(DAEMON_LIBS) $(LMDB_LIBS)

sbin_PROGRAMS += amad/amactl
amad_amactl_SOURCES = amad/amactl.c amad/checks.c amad/checks.h amad/storectl.c amad/storectl.h
amad_amactl_LDADD = libamadcore.a $(DAEMON_LIBS) $(LMDB_LIBS)
