/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_nl.c - what a netlink socket delivers: news, dumps, answers
 *
 * Includes nl.c, for its readers. What was read as an object is written as a request and read again as the same. Seeds
 * are dumps of a real kernel (test_nl --seeds DIR). */
#include "../../common/nl.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static volatile unsigned sink;

static void on_link(void *ctx, const struct nl_link *link, bool present)
{
	(void)ctx;
	if (!link->ifindex || strnlen(link->name, sizeof(link->name)) == sizeof(link->name))
		abort();
	sink += link->mtu + present;
}

static void on_address(void *ctx, const struct nl_address *address, bool present)
{
	(void)ctx;
	sink += address->len + present;
}

static void on_object(void *ctx, const struct fwd_object *o)
{
	struct nl *nl = ctx;
	uint8_t buf[MESSAGE_ROOM] = {0};
	struct nlmsghdr *h = put_object(nl, buf, FWD_ADD, o);
	struct fwd_object back;

	if (h->nlmsg_len > MESSAGE_ROOM || !read_object(h, 0, &back))
		abort();
	/* fields that do not go with the type are not written */
	if (o->kind != FWD_ROUTE ? memcmp(o, &back, sizeof(back)) : !prefix6_equal(&o->route.dst, &back.route.dst))
		abort();
	sink += (unsigned)strlen(fwd_object_text(o));
}

static void on_overrun(void *ctx)
{
	(void)ctx;
}

static const struct nl_ops ops = {on_link, on_address, on_object, on_object, on_overrun};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct nl nl;
	struct tunnels tunnels = {.name = "amad0"};
	uint8_t *copy = malloc(len + 1); /* aligned, and the sanitizer sees its end */
	const struct nlmsghdr *h = (const struct nlmsghdr *)(void *)copy;
	int left = (int)len;

	if (!copy)
		return 0;
	memcpy(copy, data, len);
	nl.ops = &ops;
	nl.ctx = &nl;
	for (; message_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		news(&nl, h);
		dumped_tunnel(&nl, h, &tunnels);
		if (h->nlmsg_type == NLMSG_ERROR && mnl_nlmsg_get_payload_len(h) >= sizeof(struct nlmsgerr)) {
			const char *text = error_text(h);

			sink += text ? (unsigned)strlen(text) : 0;
		}
	}
	free(copy);
	return 0;
}
