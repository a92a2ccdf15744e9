/* SPDX-License-Identifier: GPL-2.0-or-later */
/* labstream.c - a numbered UDP stream over IPv6, for measuring gaps and losses
 *
 *   labstream send SOURCE DESTINATION PORT INTERVAL_US SECONDS   (SOURCE :: = the kernel's choice)
 *   labstream recv PORT
 *
 * A sender that gets SIGTERM ends its stream then, as if its time were over.
 *
 * All hosts of a lab share one clock, so the receiver's lines "SEQUENCE SENT_US RECEIVED_US" (CLOCK_MONOTONIC) are
 * exact. Send errors are counted and passed over: an interface without a network is part of what is measured. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct packet {
	uint64_t sequence, sent_us;
};

static volatile sig_atomic_t stopped;

static void on_term(int signum)
{
	(void)signum;
	stopped = 1;
}

static uint64_t now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int do_send(char **argv)
{
	struct sockaddr_in6 source = {.sin6_family = AF_INET6}, to = {.sin6_family = AF_INET6};
	uint64_t interval = strtoull(argv[3], NULL, 10), end, next, sent = 0, failed = 0;
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	to.sin6_port = htons((uint16_t)atoi(argv[2]));
	if (inet_pton(AF_INET6, argv[0], &source.sin6_addr) != 1 || inet_pton(AF_INET6, argv[1], &to.sin6_addr) != 1 ||
		bind(fd, (struct sockaddr *)&source, sizeof(source)) < 0) {
		perror("labstream: bind");
		return 1;
	}
	(void)signal(SIGTERM, on_term);
	next = now_us();
	end = next + (uint64_t)(atof(argv[4]) * 1e6);
	for (struct packet p = {0}; next < end && !stopped; p.sequence++, next += interval) {
		struct timespec ts = {.tv_sec = (time_t)(next / 1000000), .tv_nsec = (long)(next % 1000000) * 1000};

		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
			;
		p.sent_us = now_us();
		if (sendto(fd, &p, sizeof(p), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
			failed++;
		else
			sent++;
	}
	(void)printf("sent %llu failed %llu\n", (unsigned long long)sent, (unsigned long long)failed);
	return 0;
}

static int do_recv(char **argv)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(argv[0]))};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), size = 1 << 22;
	struct packet p;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0) {
		perror("labstream: bind");
		return 1;
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)printf("ready\n");
	while (recv(fd, &p, sizeof(p), 0) == sizeof(p))
		(void)printf("%llu %llu %llu\n", (unsigned long long)p.sequence, (unsigned long long)p.sent_us,
			(unsigned long long)now_us());
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 7 && !strcmp(argv[1], "send"))
		return do_send(argv + 2);
	if (argc == 3 && !strcmp(argv[1], "recv"))
		return do_recv(argv + 2);
	(void)fprintf(stderr, "usage: labstream send SOURCE DESTINATION PORT INTERVAL_US SECONDS | recv PORT\n");
	return 2;
}
