# SPDX-License-Identifier: GPL-2.0-or-later

# --- secure channel --------------------------------------------------------
# test_channel and fuzz_channel include channel.c: they make tags and sequence numbers that no interface offers.
check_PROGRAMS += tests/unit/noise-vectors
tests_unit_noise_vectors_LDADD = libcommon.a $(SODIUM_LIBS) $(JANSSON_LIBS)
TESTS += tests/unit/noise-vectors
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_noise tests/unit/test_credential tests/unit/test_channel tests/unit/test_trust
tests_unit_test_noise_LDADD = libcommon.a $(SODIUM_LIBS) $(CMOCKA_LIBS)
tests_unit_test_credential_LDADD = libcommon.a $(SODIUM_LIBS) $(CMOCKA_LIBS)
tests_unit_test_channel_LDADD = libcommon.a $(SODIUM_LIBS) $(CMOCKA_LIBS)
tests_unit_test_trust_LDADD = libcommon.a $(SODIUM_LIBS) $(CMOCKA_LIBS)
TESTS += tests/unit/test_noise tests/unit/test_credential tests/unit/test_channel tests/unit/test_trust
endif
if FUZZER
noinst_PROGRAMS += tests/fuzz/fuzz_channel tests/fuzz/fuzz_credential
tests_fuzz_fuzz_channel_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_channel_LDADD = libcommon.a $(SODIUM_LIBS)
tests_fuzz_fuzz_credential_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_credential_LDADD = libcommon.a $(SODIUM_LIBS)
endif
EXTRA_DIST += tests/fuzz/seeds/channel tests/fuzz/seeds/credential

# --- the node ----------------------------------------------------------------
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_conf
tests_unit_test_conf_LDADD = libcommon.a $(INIH_LIBS) $(CMOCKA_LIBS)
TESTS += tests/unit/test_conf
check_PROGRAMS += tests/unit/test_attach tests/unit/test_homeaddr tests/unit/test_lu tests/unit/test_pmtu
tests_unit_test_attach_SOURCES = tests/unit/test_attach.c mnd/attach.c mnd/ra.c
tests_unit_test_attach_LDADD = libcommon.a $(CMOCKA_LIBS)
tests_unit_test_homeaddr_SOURCES = tests/unit/test_homeaddr.c mnd/homeaddr.c
tests_unit_test_homeaddr_LDADD = libcommon.a $(CMOCKA_LIBS)
tests_unit_test_lu_SOURCES = tests/unit/test_lu.c mnd/lu.c
tests_unit_test_lu_LDADD = libcommon.a $(CMOCKA_LIBS)
tests_unit_test_pmtu_SOURCES = tests/unit/test_pmtu.c mnd/pmtu.c
tests_unit_test_pmtu_LDADD = $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_libmnd
tests_unit_test_libmnd_LDADD = libmnd.a libcommon.a $(EV_LIBS) $(JANSSON_LIBS) $(CMOCKA_LIBS)
TESTS += tests/unit/test_libmnd
check_PROGRAMS += tests/unit/test_session
tests_unit_test_session_SOURCES = tests/unit/test_session.c mnd/session.c
tests_unit_test_session_LDADD = $(MNL_LIBS) $(BPF_LIBS) $(CMOCKA_LIBS)
# test_mnd includes anchors.c, mnd.c and signalling.c: it makes the turns of the loop itself.
check_PROGRAMS += tests/unit/test_mnd
tests_unit_test_mnd_LDADD = libmndcore.a $(DAEMON_LIBS) $(CMOCKA_LIBS)
TESTS += tests/unit/test_attach tests/unit/test_homeaddr tests/unit/test_lu tests/unit/test_mnd tests/unit/test_pmtu tests/unit/test_session
endif

# --- for other programs ------------------------------------------------------
dist_docexample_DATA += contrib/grafana/dmm.json contrib/wireshark/dmm.lua

# --- the lab -----------------------------------------------------------------
noinst_PROGRAMS += tests/lab/labstream
tests_lab_labstream_SOURCES = tests/lab/labstream.c

# --- the anchor --------------------------------------------------------------
if HAVE_CMOCKA
# test_amad includes amad.c: it makes the turns of the loop itself.
check_PROGRAMS += tests/unit/test_amad tests/unit/test_anchoring tests/unit/test_store tests/unit/test_powercut tests/unit/test_table
tests_unit_test_amad_LDADD = libamadcore.a $(DAEMON_LIBS) $(LMDB_LIBS) $(CMOCKA_LIBS)
tests_unit_test_anchoring_LDADD = libamadcore.a libcommon.a $(CMOCKA_LIBS)
tests_unit_test_powercut_LDADD = libamadcore.a libcommon.a $(LMDB_LIBS) $(CMOCKA_LIBS)
tests_unit_test_store_LDADD = libamadcore.a libcommon.a $(LMDB_LIBS) $(CMOCKA_LIBS)
tests_unit_test_table_LDADD = libcommon.a $(CMOCKA_LIBS)
TESTS += tests/unit/test_amad tests/unit/test_anchoring tests/unit/test_store tests/unit/test_powercut tests/unit/test_table
endif

# --- load --------------------------------------------------------------------
noinst_PROGRAMS += tests/load/mnload
tests_load_mnload_LDADD = libcommon.a $(SODIUM_LIBS)

dist_noinst_SCRIPTS += tests/lab/check
TESTS += tests/lab/check
AM_TESTS_ENVIRONMENT = DMM_BUILDDIR='$(abs_top_builddir)'; export DMM_BUILDDIR;
EXTRA_DIST += tests/lab/README.md tests/lab/lab tests/lab/lab.py tests/lab/fastra.py tests/lab/healing.py tests/lab/examples.py tests/newuser tests/lab/run-tests tests/scenarios tests/demo.py tests/programs.py \
	tests/bench/bench tests/bench/handover.py tests/bench/signalling.py tests/bench/anchor.py tests/bench/throughput.py \
	tests/bench/anchorload.py tests/bench/anchor_proxied.py tests/bench/netlink.py tests/bench/proxied.py tests/bench/restart.py tests/bench/store.py tests/bench/start.py tests/bench/answer.py
dist-hook:
	find $(distdir) -name __pycache__ -prune -exec rm -rf {} +
# the scenarios, in a kernel that has what they need
lab: all
	DMM_BUILDDIR=$(abs_builddir) $(PYTHON3) $(srcdir)/tests/lab/run-tests
.PHONY: lab

# --- benchmarks --------------------------------------------------------------
noinst_PROGRAMS += tests/bench/plain-netlink
tests_bench_plain_netlink_SOURCES = tests/bench/plain-netlink.c
tests_bench_plain_netlink_LDADD = $(MNL_LIBS)
noinst_PROGRAMS += tests/bench/amad-any-device
tests_bench_amad_any_device_SOURCES = amad/main.c tests/bench/any-device.c
tests_bench_amad_any_device_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=nl_tunnel_open
tests_bench_amad_any_device_LDADD = $(amad_amad_LDADD)
noinst_PROGRAMS += tests/bench/mnd-any-device
tests_bench_mnd_any_device_SOURCES = mnd/main.c tests/bench/any-device.c
tests_bench_mnd_any_device_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=nl_tunnel_open
tests_bench_mnd_any_device_LDADD = $(mnd_mnd_LDADD)
bench: all
	$(PYTHON3) $(srcdir)/tests/bench/bench --build $(abs_builddir)
.PHONY: bench

# --- common ------------------------------------------------------------------
if HAVE_CMOCKA
# test_control includes control.c: it looks at what waits for a client.
check_PROGRAMS += tests/unit/test_conf_faults tests/unit/test_control tests/unit/test_fwd tests/unit/test_lm tests/unit/test_rc tests/unit/test_wheel
tests_unit_test_conf_faults_LDADD = libcommon.a $(INIH_LIBS) $(CMOCKA_LIBS)
tests_unit_test_control_LDADD = libcommon.a $(EV_LIBS) $(JANSSON_LIBS) $(CMOCKA_LIBS)
tests_unit_test_fwd_LDADD = libcommon.a $(CMOCKA_LIBS)
tests_unit_test_lm_LDADD = libamadcore.a libcommon.a $(CMOCKA_LIBS)
tests_unit_test_rc_LDADD = libmndcore.a libcommon.a $(CMOCKA_LIBS)
tests_unit_test_wheel_LDADD = libcommon.a $(CMOCKA_LIBS)
TESTS += tests/unit/test_conf_faults tests/unit/test_control tests/unit/test_fwd tests/unit/test_lm tests/unit/test_rc tests/unit/test_wheel
endif

if FUZZER
noinst_PROGRAMS += tests/fuzz/fuzz_conf tests/fuzz/fuzz_ra
tests_fuzz_fuzz_conf_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_conf_LDADD = libcommon.a $(INIH_LIBS)
tests_fuzz_fuzz_ra_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_ra_LDADD = libmndcore.a libcommon.a
endif
EXTRA_DIST += tests/fuzz/seeds/conf tests/fuzz/seeds/ra

# --- metrics -----------------------------------------------------------------
# test_metrics includes metrics.c: it looks at its limits and clients.
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_metrics
tests_unit_test_metrics_LDADD = libcommon.a $(EV_LIBS) $(JANSSON_LIBS) $(CMOCKA_LIBS)
TESTS += tests/unit/test_metrics
endif
if FUZZER
noinst_PROGRAMS += tests/fuzz/fuzz_metrics
tests_fuzz_fuzz_metrics_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_metrics_LDADD = libcommon.a $(EV_LIBS) $(JANSSON_LIBS)
endif
EXTRA_DIST += tests/fuzz/seeds/metrics

# --- help when it does not work -----------------------------------------------
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_doctor
tests_unit_test_doctor_SOURCES = tests/unit/test_doctor.c mnd/checks.c amad/checks.c
tests_unit_test_doctor_LDADD = libcommon.a $(JANSSON_LIBS) $(CMOCKA_LIBS)
TESTS += tests/unit/test_doctor
endif

# --- mobility header ---------------------------------------------------------
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_wire tests/unit/test_mh
tests_unit_test_wire_LDADD = libcommon.a $(CMOCKA_LIBS)
tests_unit_test_mh_LDADD = libcommon.a $(JANSSON_LIBS) $(CMOCKA_LIBS)
TESTS += tests/unit/test_wire tests/unit/test_mh
endif
dist_noinst_SCRIPTS += tests/unit/test_mhtool.py
TESTS += tests/unit/test_mhtool.py
if FUZZER
noinst_PROGRAMS += tests/fuzz/fuzz_mh tests/fuzz/fuzz_mhjson
tests_fuzz_fuzz_mh_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_mh_LDADD = libcommon.a $(JANSSON_LIBS)
tests_fuzz_fuzz_mhjson_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_mhjson_LDADD = libcommon.a $(JANSSON_LIBS)
endif
EXTRA_DIST += tests/fuzz/seeds/mh tests/fuzz/seeds/mhjson

# --- manuals -----------------------------------------------------------------
dist_check_SCRIPTS = tests/unit/test_manuals.sh tests/unit/test_messages.py tests/unit/test_examples.py tests/unit/test_firewall.py
TESTS += tests/unit/test_manuals.sh tests/unit/test_messages.py tests/unit/test_examples.py tests/unit/test_firewall.py

# --- the system around -------------------------------------------------------
dist_check_SCRIPTS += tests/unit/test_units.sh tests/unit/test_fragments.sh tests/unit/test_openwrt.sh tests/unit/test_commands.sh
TESTS += tests/unit/test_units.sh tests/unit/test_fragments.sh tests/unit/test_openwrt.sh tests/unit/test_commands.sh
EXTRA_DIST += tests/packages debian openwrt
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_priv
tests_unit_test_priv_LDADD = libcommon.a $(CAPNG_LIBS) $(SECCOMP_LIBS) $(CMOCKA_LIBS)
TESTS += tests/unit/test_priv
endif

# --- completion --------------------------------------------------------------
dist_noinst_SCRIPTS += tests/unit/test_completion.py
TESTS += tests/unit/test_completion.py

# --- the door to the kernel --------------------------------------------------
# test_nl includes nl.c: its readers and writers of messages are not offered by nl.h.
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_nl tests/unit/test_srccheck
tests_unit_test_nl_LDADD = libcommon.a $(MNL_LIBS) $(CMOCKA_LIBS)
tests_unit_test_srccheck_LDADD = libcommon.a $(MNL_LIBS) $(BPF_LIBS) $(SYSTEMD_LIBS) $(CMOCKA_LIBS)
TESTS += tests/unit/test_nl tests/unit/test_srccheck
endif
if FUZZER
noinst_PROGRAMS += tests/fuzz/fuzz_nl
tests_fuzz_fuzz_nl_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_nl_LDADD = libcommon.a $(MNL_LIBS)
endif
EXTRA_DIST += tests/fuzz/seeds/nl
noinst_PROGRAMS += tests/bench/nl-rate
tests_bench_nl_rate_LDADD = libcommon.a $(MNL_LIBS)
