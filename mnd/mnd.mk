# SPDX-License-Identifier: GPL-2.0-or-later
# Everything but main is a library, so that tests link what the daemon has.
noinst_LIBRARIES += libmndcore.a
libmndcore_a_SOURCES = \
	mnd/anchors.c \
	mnd/attach.c mnd/attach.h \
	mnd/exe.c mnd/exe.h \
	mnd/homeaddr.c mnd/homeaddr.h \
	mnd/isolate.c mnd/isolate.h \
	mnd/lu.c mnd/lu.h \
	mnd/methods.c \
	mnd/mnd.c mnd/mnd.h mnd/node.h \
	mnd/pin.c mnd/pin.h mnd/pinning.c \
	mnd/pmtu.c mnd/pmtu.h \
	mnd/ra.c mnd/ra.h \
	mnd/rc.c mnd/rc.h \
	mnd/rules.c mnd/rules.h \
	mnd/session.c mnd/session.h \
	mnd/settings.c mnd/settings.h \
	mnd/signalling.c \
	mnd/state.c mnd/state.h

DAEMON_LIBS = libcommon.a $(EV_LIBS) $(SODIUM_LIBS) $(MNL_LIBS) $(INIH_LIBS) $(JANSSON_LIBS) $(BPF_LIBS) $(CAPNG_LIBS) $(SECCOMP_LIBS) $(SYSTEMD_LIBS)

# BPF programs are compiled by clang and embedded as bytes.
EXTRA_DIST += mnd/pin.bpf.c mnd/session.bpf.c mnd/isolate.bpf.c
BUILT_SOURCES += mnd/pin.bpf.inc mnd/session.bpf.inc mnd/isolate.bpf.inc
CLEANFILES += mnd/pin.bpf.inc mnd/pin.bpf.o mnd/session.bpf.inc mnd/session.bpf.o mnd/isolate.bpf.inc mnd/isolate.bpf.o
mnd/isolate.$(OBJEXT): mnd/isolate.bpf.inc
mnd/isolate.bpf.o: $(srcdir)/mnd/isolate.bpf.c
	$(AM_V_GEN)$(MKDIR_P) mnd && $(BPF_CLANG) -O2 -g -target bpf $(BPF_CPPFLAGS) -c $(srcdir)/mnd/isolate.bpf.c -o $@
mnd/pin.$(OBJEXT): mnd/pin.bpf.inc
mnd/session.$(OBJEXT): mnd/session.bpf.inc
mnd/pin.bpf.o: $(srcdir)/mnd/pin.bpf.c
	$(AM_V_GEN)$(MKDIR_P) mnd && $(BPF_CLANG) -O2 -g -target bpf $(BPF_CPPFLAGS) -c $(srcdir)/mnd/pin.bpf.c -o $@
mnd/session.bpf.o: $(srcdir)/mnd/session.bpf.c
	$(AM_V_GEN)$(MKDIR_P) mnd && $(BPF_CLANG) -O2 -g -target bpf $(BPF_CPPFLAGS) -c $(srcdir)/mnd/session.bpf.c -o $@
bpf_bytes = od -An -v -tx1 | $(SED) 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'; echo '};'
mnd/pin.bpf.inc: mnd/pin.bpf.o
	$(AM_V_GEN){ echo 'static const unsigned char pin_object[] __attribute__((aligned(8))) = {'; $(bpf_bytes); } < mnd/pin.bpf.o > $@.tmp && mv $@.tmp $@
mnd/session.bpf.inc: mnd/session.bpf.o
	$(AM_V_GEN){ echo 'static const unsigned char session_object[] __attribute__((aligned(8))) = {'; $(bpf_bytes); } < mnd/session.bpf.o > $@.tmp && mv $@.tmp $@
mnd/isolate.bpf.inc: mnd/isolate.bpf.o
	$(AM_V_GEN){ echo 'static const unsigned char isolate_object[] __attribute__((aligned(8))) = {'; $(bpf_bytes); } < mnd/isolate.bpf.o > $@.tmp && mv $@.tmp $@

sbin_PROGRAMS += mnd/mnd
mnd_mnd_SOURCES = mnd/main.c
mnd_mnd_LDADD = libmndcore.a $(DAEMON_LIBS)

bin_PROGRAMS += mnd/hoa-exec
mnd_hoa_exec_SOURCES = mnd/hoa-exec.c
mnd_hoa_exec_LDADD = libcommon.a $(MNL_LIBS) $(JANSSON_LIBS) $(SYSTEMD_LIBS)

bin_PROGRAMS += mnd/mnctl
mnd_mnctl_SOURCES = mnd/mnctl.c mnd/checks.c mnd/checks.h
mnd_mnctl_LDADD = libmndcore.a $(DAEMON_LIBS)

# --- libmnd: the archive, and the shared library made of it. Its number counts when something that was there is no more.
lib_LIBRARIES += libmnd.a
libmnd_a_SOURCES = mnd/libmnd.c mnd/libmnd.h
libmnd_a_CFLAGS = $(AM_CFLAGS) -fPIC
include_HEADERS += mnd/libmnd.h
pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = mnd/libmnd.pc
CLEANFILES += mnd/libmnd.pc libmnd.so.0
EXTRA_DIST += mnd/libmnd.pc.in mnd/libmnd.map
all-local: libmnd.so.0
libmnd.so.0: libmnd.a $(srcdir)/mnd/libmnd.map
	$(AM_V_CCLD)$(CC) $(CFLAGS) $(DMM_CFLAGS) $(DMM_LDFLAGS) $(LDFLAGS) -shared -Wl,-soname,$@ -Wl,--version-script,$(srcdir)/mnd/libmnd.map \
		-Wl,--whole-archive libmnd.a -Wl,--no-whole-archive $(JANSSON_LIBS) -o $@
mnd/libmnd.pc: $(srcdir)/mnd/libmnd.pc.in Makefile
	$(AM_V_GEN)$(MKDIR_P) mnd && $(SED) -e 's,[@]prefix@,$(prefix),g' -e 's,[@]libdir@,$(libdir),g' -e 's,[@]includedir@,$(includedir),g' \
		-e 's,[@]VERSION@,$(VERSION),g' $(srcdir)/mnd/libmnd.pc.in > $@.tmp && mv $@.tmp $@
install-exec-hook:
	$(MKDIR_P) $(DESTDIR)$(libdir)
	$(INSTALL_PROGRAM) libmnd.so.0 $(DESTDIR)$(libdir)/libmnd.so.0
	ln -sf libmnd.so.0 $(DESTDIR)$(libdir)/libmnd.so
uninstall-local:
	rm -f $(DESTDIR)$(libdir)/libmnd.so.0 $(DESTDIR)$(libdir)/libmnd.so
