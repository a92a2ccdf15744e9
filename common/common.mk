# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libcommon.a
libcommon_a_SOURCES = \
	common/channel.c common/channel.h \
	common/conf.c common/conf.h \
	common/control.c common/control.h \
	common/counters.c common/counters.h \
	common/credential.c common/credential.h \
	common/ctl.c common/ctl.h \
	common/daemon.c common/daemon.h \
	common/doctor.c common/doctor.h \
	common/facts.c common/facts.h \
	common/firewall.c common/firewall.h \
	common/fwd.c common/fwd.h \
	common/keylog.c common/keylog.h \
	common/log.c common/log.h \
	common/loop.c common/loop.h \
	common/metrics.c common/metrics.h \
	common/mh.c common/mh.h \
	common/mhjson.c common/mhjson.h \
	common/nl.c common/nl.h \
	common/noise.c common/noise.h \
	common/ping.c common/ping.h \
	common/prefix6.c common/prefix6.h \
	common/priv.c common/priv.h \
	common/report.c common/report.h \
	common/secret.c common/secret.h \
	common/srccheck.c common/srccheck.h \
	common/table.c common/table.h \
	common/transport.c common/transport.h \
	common/trust.c common/trust.h \
	common/wheel.c common/wheel.h \
	common/wire.c common/wire.h

# The BPF program is compiled by clang and embedded as bytes.
EXTRA_DIST += common/srccheck.bpf.c
BUILT_SOURCES += common/srccheck.bpf.inc
CLEANFILES += common/srccheck.bpf.inc common/srccheck.bpf.o
common/srccheck.$(OBJEXT): common/srccheck.bpf.inc
common/srccheck.bpf.o: $(srcdir)/common/srccheck.bpf.c
	$(AM_V_GEN)$(MKDIR_P) common && $(BPF_CLANG) -O2 -g -target bpf $(BPF_CPPFLAGS) -c $< -o $@
common/srccheck.bpf.inc: common/srccheck.bpf.o
	$(AM_V_GEN)$(MKDIR_P) common && { echo 'static const unsigned char srccheck_object[] __attribute__((aligned(8))) = {'; \
		od -An -v -tx1 $< | $(SED) 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'; echo '};'; } > $@.tmp && mv $@.tmp $@

bin_PROGRAMS += common/mhtool
common_mhtool_SOURCES = common/mhtool.c
common_mhtool_LDADD = libcommon.a $(JANSSON_LIBS)
