/* SPDX-License-Identifier: GPL-2.0-or-later */
/* counters.c - what both daemons count, under one name each */
#include "counters.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define COUNTER(name, label, key, help)                                                                                \
	{                                                                                                              \
		name, METRIC_COUNTER, label, key, help                                                                 \
	}
#define GAUGE(name, help)                                                                                              \
	{                                                                                                              \
		name, METRIC_GAUGE, NULL, NULL, help                                                                   \
	}

static const struct metric build = {
	"dmm_build_info", METRIC_GAUGE, "version", NULL, "Always 1; its label is the version"};
static const struct metric datagrams = COUNTER("dmm_channel_datagrams_received_total", "result", "channel-",
	"Datagrams of the secure channel, by what became of them; what is not ok was dropped");
static const struct metric sent = COUNTER(
	"dmm_channel_datagrams_sent_total", "kind", "channel-tx-", "Datagrams of the secure channel sent");
static const struct metric handshakes = COUNTER(
	"dmm_channel_handshakes_received_total", NULL, "handshakes", "Handshakes that others began");
static const struct metric discoveries = COUNTER("dmm_channel_discoveries_received_total", NULL, "discoveries",
	"Requests for a credential, and answers to ours");
static const struct metric undelivered = COUNTER("dmm_channel_messages_dropped_total", NULL, "channel-dropped",
	"Messages that never left: their peer ended or was silent");
static const struct metric sessions = GAUGE("dmm_channel_sessions", "Sessions of the secure channel");
static const struct metric heard = COUNTER(
	"dmm_messages_received_total", "type", "message-rx-", "Mobility messages received in the channel");
static const struct metric said = COUNTER(
	"dmm_messages_sent_total", "type", "message-tx-", "Mobility messages sent in the channel");
static const struct metric refused = COUNTER("dmm_messages_refused_total", "reason", "mh-",
	"Mobility messages that were refused whole because of their form");
static const struct metric udp_rx = COUNTER(
	"dmm_udp_datagrams_received_total", NULL, "udp-rx", "UDP datagrams received");
static const struct metric udp_tx = COUNTER("dmm_udp_datagrams_sent_total", NULL, "udp-tx", "UDP datagrams sent");
static const struct metric udp_failed = COUNTER(
	"dmm_udp_send_failures_total", "reason", "udp-tx-", "UDP datagrams that could not be sent");
static const struct metric restored = COUNTER("dmm_kernel_restored_total", "object", "restored-",
	"Objects put back into the kernel after somebody else deleted or changed them");
static const struct metric kernel_refused = COUNTER(
	"dmm_kernel_refused_total", "object", "kernel-refused-", "Changes of forwarding state that the kernel refused");
static const struct metric requests = COUNTER(
	"dmm_kernel_requests_total", NULL, "kernel-requests", "Changes of forwarding state asked of the kernel");
static const struct metric batches = COUNTER(
	"dmm_kernel_batches_total", NULL, "kernel-batches", "System calls that they took");
static const struct metric overruns = COUNTER(
	"dmm_netlink_overruns_total", NULL, "netlink-overruns", "Times that news of the kernel were lost");
static const struct metric decapsulated = COUNTER("dmm_tunnel_packets_received_total", "result", "decap-",
	"Packets out of the tunnel, by what the source check said; what is not passed was dropped");
static const struct metric access_drops = COUNTER("dmm_access_packets_dropped_total", "reason", "access-",
	"Packets of access links that the source check dropped");
static const struct metric slow = COUNTER(
	"dmm_slow_callbacks_total", NULL, "slow-callbacks", "Callbacks that took longer than 50 ms");
static const struct metric start = GAUGE(
	"process_start_time_seconds", "Start time of the process since the epoch in seconds");
static const struct metric cpu = COUNTER(
	"process_cpu_seconds_total", NULL, NULL, "Total user and system CPU time spent in seconds");
static const struct metric resident = GAUGE("process_resident_memory_bytes", "Resident memory size in bytes");

static void put_messages(struct metrics *w, const struct metric *m, const uint64_t count[CHANNEL_TYPES])
{
	uint64_t unknown = 0;

	for (unsigned i = 0; i < CHANNEL_TYPES; i++) {
		if (mh_type_is_known((uint8_t)i))
			metrics_put(w, m, mh_type_name((uint8_t)i), count[i]);
		else
			unknown += count[i];
	}
	metrics_put(w, m, "unknown", unknown);
}

static void put_process(struct metrics *w, const struct loop *loop)
{
	static double started;
	struct rusage ru = {0};
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	/* of the loop's first reading, so that it does not change with the wall clock */
	if (started == 0)
		started = (double)loop_wall_ns() / 1e9 - (double)(loop_clock_us() - loop_started_us(loop)) / 1e6;
	metrics_put_real(w, &start, NULL, started);
	(void)getrusage(RUSAGE_SELF, &ru);
	metrics_put_real(w, &cpu, NULL,
		(double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
			(double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
	if (f && fscanf(f, "%*u %lu", &pages) == 1)
		metrics_put(w, &resident, NULL, pages * (uint64_t)sysconf(_SC_PAGESIZE));
	if (f)
		(void)fclose(f);
}

void counters_put(struct metrics *w, const struct counters_parts *p)
{
	const struct channel_counters *cc = channel_counters(p->channel);
	const struct transport_counters *tc = transport_counters(p->transport);
	const struct fwd_counters *fc = fwd_counters(p->set);
	const struct nl_counters *nc = nl_counters(p->nl);
	struct srccheck_counters sc;

	metrics_put(w, &build, p->version, 1);
	for (int i = 0; i < CHANNEL_WHY_COUNT; i++)
		metrics_put(w, &datagrams, channel_why_name((enum channel_why)i), cc->why[i]);
	metrics_put(w, &sent, "initiation", cc->tx_initiation);
	metrics_put(w, &sent, "response", cc->tx_response);
	metrics_put(w, &sent, "transport", cc->tx_transport);
	metrics_put(w, &sent, "cookie", cc->tx_cookie);
	metrics_put(w, &sent, "discovery", cc->tx_discovery);
	metrics_put(w, &handshakes, NULL, cc->rx_initiation);
	metrics_put(w, &discoveries, NULL, cc->rx_discovery);
	metrics_put(w, &undelivered, NULL, cc->tx_dropped);
	metrics_put(w, &sessions, NULL, cc->sessions);
	put_messages(w, &heard, cc->rx_type);
	put_messages(w, &said, cc->tx_type);
	for (int i = 0; i < MH_WHY_N; i++) /* their names begin as the key does */
		metrics_put(w, &refused, mh_why_name((enum mh_why)i) + 3, p->mh[i]);
	metrics_put(w, &udp_rx, NULL, tc->rx);
	metrics_put(w, &udp_tx, NULL, tc->tx);
	metrics_put(w, &udp_failed, "full", tc->tx_full);
	metrics_put(w, &udp_failed, "unreachable", tc->tx_unreachable);
	metrics_put(w, &udp_failed, "failed", tc->tx_failed);
	for (int i = 0; i < FWD_KINDS; i++)
		metrics_put(w, &restored, fwd_kind_name((enum fwd_kind)i), fc->restored[i]);
	metrics_put(w, &restored, "device", p->restored_device);
	for (int i = 0; i < FWD_KINDS; i++)
		metrics_put(w, &kernel_refused, fwd_kind_name((enum fwd_kind)i), fc->failures[i]);
	metrics_put(w, &requests, NULL, nc->requests);
	metrics_put(w, &batches, NULL, nc->batches);
	metrics_put(w, &overruns, NULL, nc->overruns);
	if (p->srccheck && srccheck_counters(p->srccheck, &sc) == 0) {
		metrics_put(w, &decapsulated, "passed", sc.passed);
		metrics_put(w, &decapsulated, "unbound", sc.unbound);
		metrics_put(w, &decapsulated, "wrong-source", sc.wrong_source);
		metrics_put(w, &decapsulated, "malformed", sc.malformed);
		metrics_put(w, &access_drops, "wrong-node", sc.wrong_node);
	}
	metrics_put(w, &slow, NULL, loop_stats(p->loop)->slow);
	put_process(w, p->loop);
}
