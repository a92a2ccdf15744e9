/* SPDX-License-Identifier: GPL-2.0-or-later */
/* firewall.c - would this machine's packet filter drop a packet that we need?
 *
 * Both languages are read into the same chains of rules. A rule keeps of its matches what our packets have: interface,
 * protocol, ports, ICMPv6 type, connection state. Everything else makes it a rule that may match (tri-state, as a
 * packet filter is not a thing to guess about). */
#include "firewall.h"

#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH	   16 /* jumps inside jumps; both tools allow no loops */
#define PROTO_UDP  17
#define PROTO_IPV6 41
#define PROTO_ICMP 58

enum match { NO, MAYBE, YES };
enum action { NOTHING, ACCEPT, DROP, JUMP, GOTO, RETURN };

/* A condition: a key and what it must be, or must not be. */
enum key { IIF, OIF, PROTOCOL, SPORT, DPORT, ICMP_TYPE, STATE, FAMILY, GLOBAL, UNKNOWN };
struct condition {
	enum key key;
	bool not ;
	unsigned low, high; /* PROTOCOL, ports, ICMP_TYPE: range; with several conditions of one value list, "any" is
			       set on all but the last */
	char name[IF_NAMESIZE + 1]; /* IIF, OIF; ends in + or * = prefix */
	bool or_next;		    /* this one or the next */
};

struct rule {
	struct condition *conditions;
	size_t n;
	enum action action;
	bool rpfilter; /* strict reverse path check: matches what fails it */
	char target[64];
	char text[FIREWALL_TEXT];
	unsigned position;     /* from 1, or nft's handle */
	struct rule *branches; /* of a verdict map: looked at in turn */
	size_t n_branches;
};

struct chain {
	char tool[20]; /* ip6tables-legacy, ip6tables or nft */
	char family[8], table[64], name[64], hook[16];
	bool policy_drop;
	struct rule *rules;
	size_t n;
};

struct firewall {
	struct chain *chains;
	size_t n;
};

struct firewall *firewall_new(void)
{
	return calloc(1, sizeof(struct firewall));
}

static void rule_done(struct rule *r)
{
	for (size_t i = 0; i < r->n_branches; i++)
		rule_done(&r->branches[i]);
	free(r->branches);
	free(r->conditions);
}

void firewall_free(struct firewall *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++) {
		for (size_t k = 0; k < f->chains[i].n; k++)
			rule_done(&f->chains[i].rules[k]);
		free(f->chains[i].rules);
	}
	free(f->chains);
	free(f);
}

/* One more, zeroed, at the end of an array that grows; NULL = no memory. */
static void *append(void *array, size_t *n, size_t size)
{
	void **a = array;
	char *more = realloc(*a, (*n + 1) * size);

	if (!more)
		return NULL;
	*a = more;
	memset(more + *n * size, 0, size);
	(*n)++;
	return more + (*n - 1) * size;
}

static struct condition *condition(struct rule *r, enum key key, bool not )
{
	struct condition *c = append(&r->conditions, &r->n, sizeof(*c));

	if (c) {
		c->key = key;
		c->not = not ;
	}
	return c;
}

static void put(char *to, size_t size, const char *text)
{
	(void)snprintf(to, size, "%s", text ? text : "");
}

static struct chain *find_chain(
	const struct firewall *f, const char *tool, const char *family, const char *table, const char *name)
{
	for (size_t i = 0; i < f->n; i++) {
		struct chain *c = &f->chains[i];

		if (!strcmp(c->tool, tool) && !strcmp(c->family, family) && !strcmp(c->table, table) &&
			!strcmp(c->name, name))
			return c;
	}
	return NULL;
}

static struct chain *new_chain(
	struct firewall *f, const char *tool, const char *family, const char *table, const char *name)
{
	struct chain *c = append(&f->chains, &f->n, sizeof(*c));

	if (!c)
		return NULL;
	put(c->tool, sizeof(c->tool), tool);
	put(c->family, sizeof(c->family), family);
	put(c->table, sizeof(c->table), table);
	put(c->name, sizeof(c->name), name);
	return c;
}

/* --- values ---------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	enum key key;
	unsigned value;
} names[] = {{"udp", PROTOCOL, PROTO_UDP}, {"ipv6", PROTOCOL, PROTO_IPV6}, {"ipv6-icmp", PROTOCOL, PROTO_ICMP},
	{"icmpv6", PROTOCOL, PROTO_ICMP}, {"tcp", PROTOCOL, 6}, {"icmp", PROTOCOL, 1}, {"all", PROTOCOL, 0},
	{"packet-too-big", ICMP_TYPE, 2}, {"nd-router-advert", ICMP_TYPE, 134},
	{"router-advertisement", ICMP_TYPE, 134}, {"nd-neighbor-solicit", ICMP_TYPE, 135},
	{"nd-neighbor-advert", ICMP_TYPE, 136}, {"established", STATE, 1}, {"related", STATE, 0}, {"dnat", STATE, 0},
	{"snat", STATE, 0}, {"new", STATE, 2}, {"invalid", STATE, 0}, {"untracked", STATE, 0}};

/* Is every global unicast address in this prefix? Of addresses nothing else is known. */
static bool holds_all(const char *address, unsigned len)
{
	return (len == 3 && !strcmp(address, "2000::")) || (len < 3 && !strcmp(address, "::"));
}

/* A number, a range as 1:2 or 1-2, or a name; false = something else. */
static bool read_value(enum key key, const char *text, struct condition *c)
{
	char *end, address[64];
	unsigned len;

	if (key == GLOBAL)
		return sscanf(text, "%63[0-9a-f:]/%u", address, &len) == 2 && holds_all(address, len);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].key == key && !strcasecmp(names[i].name, text)) {
			c->low = c->high = names[i].value;
			if (key == PROTOCOL && names[i].value == 0)
				c->high = 255;
			return true;
		}
	c->low = c->high = (unsigned)strtoul(text, &end, 10);
	if (end != text && (*end == ':' || *end == '-'))
		c->high = (unsigned)strtoul(end + 1, &end, 10);
	return end != text && *end == '\0';
}

/* Any of a list, separated by commas. */
static void add_list(struct rule *r, enum key key, bool not, const char *list)
{
	char buf[256], *save = NULL;

	put(buf, sizeof(buf), list);
	for (char *word = strtok_r(buf, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		struct condition *c = condition(r, key, not );

		if (!c)
			return;
		if (key == IIF || key == OIF)
			put(c->name, sizeof(c->name), word);
		else if (!read_value(key, word, c))
			c->key = UNKNOWN;
		c->or_next = true;
	}
	if (r->n)
		r->conditions[r->n - 1].or_next = false;
}

/* --- ip6tables-save -------------------------------------------------------------------------------------------- */

/* The next word of a line, quotes taken off; NULL at its end. */
static char *next_word(char **line)
{
	char *p = *line + strspn(*line, " \t"), *start;

	if (!*p)
		return NULL;
	if (*p == '"') {
		start = ++p;
		while (*p && *p != '"')
			p += p[0] == '\\' && p[1] ? 2 : 1;
	} else {
		start = p;
		p += strcspn(p, " \t");
	}
	*line = *p ? p + 1 : p;
	*p = '\0';
	return start;
}

static void read_save_rule(struct rule *r, char *line)
{
	static const struct {
		const char *option;
		enum key key;
	} options[] = {{"-s", GLOBAL}, {"-d", GLOBAL}, {"-i", IIF}, {"-o", OIF}, {"-p", PROTOCOL}, {"--sport", SPORT},
		{"--sports", SPORT}, {"--dport", DPORT}, {"--dports", DPORT}, {"--icmpv6-type", ICMP_TYPE},
		{"--ctstate", STATE}, {"--state", STATE}};
	bool not = false, rpfilter = false, loose = false, invert = false;
	char *word;

	while ((word = next_word(&line))) {
		size_t i;

		if (!strcmp(word, "!")) {
			not = true;
			continue;
		}
		for (i = 0; i < sizeof(options) / sizeof(options[0]) && strcmp(options[i].option, word) != 0; i++)
			;
		if (i < sizeof(options) / sizeof(options[0])) {
			word = next_word(&line);
			if (word)
				add_list(r, options[i].key, not, word);
		} else if (!strcmp(word, "-j") || !strcmp(word, "-g")) {
			bool jump = word[1] == 'j';

			word = next_word(&line);
			if (!word)
				break;
			r->action = !strcmp(word, "ACCEPT")			   ? ACCEPT
				: !strcmp(word, "DROP") || !strcmp(word, "REJECT") ? DROP
				: !strcmp(word, "RETURN")			   ? RETURN
				: jump						   ? JUMP
										   : GOTO;
			put(r->target, sizeof(r->target), word);
			break; /* the rest belongs to the target */
		} else if (!strcmp(word, "-m")) {
			word = next_word(&line);
			if (word && !strcmp(word, "rpfilter"))
				rpfilter = true;
		} else if (!strcmp(word, "--comment") || !strcmp(word, "-c")) {
			(void)next_word(&line);
		} else if (!strcmp(word, "--loose")) {
			loose = true;
		} else if (!strcmp(word, "--invert")) {
			invert = true;
		} else if (word[0] == '-' && strcmp(word, "--validmark") != 0 && strcmp(word, "--accept-local") != 0) {
			(void)condition(r, UNKNOWN, false);
		}
		not = false;
	}
	if (rpfilter) {
		(void)condition(r, UNKNOWN, false);
		r->rpfilter = invert && !loose && r->action == DROP;
	}
}

int firewall_add_save(struct firewall *f, const char *tool, const char *text)
{
	static const char *const hooks[][2] = {{"INPUT", "input"}, {"OUTPUT", "output"}, {"FORWARD", "forward"},
		{"PREROUTING", "prerouting"}, {"POSTROUTING", "postrouting"}};
	char *copy = strdup(text), *save = NULL, table[64] = "";

	if (!copy)
		return -ENOMEM;
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char original[FIREWALL_TEXT], *rest = line + 1, *word;
		struct chain *c;

		put(original, sizeof(original), line);
		if (line[0] == '*') {
			put(table, sizeof(table), line + 1);
		} else if (line[0] == ':') {
			word = next_word(&rest);
			c = word ? new_chain(f, tool, "", table, word) : NULL;
			word = next_word(&rest);
			if (!c || !word)
				continue;
			c->policy_drop = !strcmp(word, "DROP");
			for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++)
				if (!strcmp(hooks[i][0], c->name))
					put(c->hook, sizeof(c->hook), hooks[i][1]);
		} else {
			struct rule *r;

			rest = line;
			while ((word = next_word(&rest)) && strcmp(word, "-A") != 0)
				; /* [packets:bytes] */
			word = word ? next_word(&rest) : NULL;
			c = word ? find_chain(f, tool, "", table, word) : NULL;
			r = c ? append(&c->rules, &c->n, sizeof(*r)) : NULL;
			if (!r)
				continue;
			r->position = (unsigned)c->n;
			put(r->text, sizeof(r->text), original);
			read_save_rule(r, rest);
		}
	}
	free(copy);
	return 0;
}

/* --- nft -j list ruleset ---------------------------------------------------------------------------------------- */

static enum key nft_key(const json_t *left)
{
	static const struct {
		const char *kind, *a, *b;
		enum key key;
	} keys[] = {{"meta", "iifname", NULL, IIF}, {"meta", "iif", NULL, IIF}, {"meta", "oifname", NULL, OIF},
		{"meta", "oif", NULL, OIF}, {"meta", "l4proto", NULL, PROTOCOL}, {"meta", "nfproto", NULL, FAMILY},
		{"ct", "state", NULL, STATE}, {"ct", "status", NULL, STATE}, {"payload", "nexthdr", "ip6", PROTOCOL},
		{"payload", "saddr", "ip6", GLOBAL}, {"payload", "daddr", "ip6", GLOBAL},
		{"payload", "sport", NULL, SPORT}, {"payload", "dport", NULL, DPORT},
		{"payload", "type", "icmpv6", ICMP_TYPE}};
	const json_t *o;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *name, *protocol;

		o = json_object_get(left, keys[i].kind);
		name = json_string_value(json_object_get(o, keys[i].kind[0] == 'p' ? "field" : "key"));
		protocol = json_string_value(json_object_get(o, "protocol"));
		if (name && !strcmp(name, keys[i].a) && (!keys[i].b || (protocol && !strcmp(protocol, keys[i].b))))
			return keys[i].key;
	}
	return UNKNOWN;
}

/* "udp dport 7872" looks at UDP only. */
static void nft_implied(struct rule *r, const json_t *left)
{
	const char *protocol = json_string_value(json_object_get(json_object_get(left, "payload"), "protocol"));
	struct condition *c = NULL;

	if (!protocol)
		return;
	if (!strcmp(protocol, "ip") || !strcmp(protocol, "arp") || !strcmp(protocol, "icmp")) {
		c = condition(r, FAMILY, false);
		if (c)
			c->low = 4;
	} else if (!strcmp(protocol, "udp") || !strcmp(protocol, "tcp") || !strcmp(protocol, "icmpv6")) {
		add_list(r, PROTOCOL, false, protocol);
	} else if (strcmp(protocol, "ip6") != 0 && strcmp(protocol, "th") != 0) {
		(void)condition(r, UNKNOWN, false);
	}
}

static void nft_value(struct rule *r, enum key key, bool not, const json_t *right, bool or_next)
{
	struct condition *c;
	const json_t *list = json_object_get(right, "set"), *range = json_object_get(right, "range"),
		     *prefix = json_object_get(right, "prefix"), *v;
	char text[64] = "";
	size_t i;

	if (!list && json_is_array(right))
		list = right;
	if (json_is_array(list)) {
		json_array_foreach(list, i, v) nft_value(r, key, not, v, i + 1 < json_array_size(list) || or_next);
		return;
	}
	c = condition(r, key, not );
	if (!c)
		return;
	c->or_next = or_next;
	if (json_is_integer(right))
		(void)snprintf(text, sizeof(text), "%d", (int)json_integer_value(right));
	else if (json_is_string(right))
		put(text, sizeof(text), json_string_value(right));
	else if (json_array_size(range) == 2 && json_is_integer(json_array_get(range, 0)))
		(void)snprintf(text, sizeof(text), "%d-%d", (int)json_integer_value(json_array_get(range, 0)),
			(int)json_integer_value(json_array_get(range, 1)));
	if (json_is_object(prefix))
		(void)snprintf(text, sizeof(text), "%.45s/%d",
			json_string_value(json_object_get(prefix, "addr"))
				? json_string_value(json_object_get(prefix, "addr"))
				: "",
			(int)json_integer_value(json_object_get(prefix, "len")));
	if (key == IIF || key == OIF)
		put(c->name, sizeof(c->name), text);
	else if (key == FAMILY)
		c->low = !strcmp(text, "ipv6") ? 6 : 4;
	else if (!*text || *text == '@' || !read_value(key, text, c))
		c->key = UNKNOWN;
}

static bool nft_verdict(struct rule *r, const char *name, const json_t *value)
{
	static const struct {
		const char *name;
		enum action action;
	} verdicts[] = {{"accept", ACCEPT}, {"drop", DROP}, {"reject", DROP}, {"return", RETURN}, {"jump", JUMP},
		{"goto", GOTO}};

	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
		if (!strcmp(verdicts[i].name, name)) {
			r->action = verdicts[i].action;
			put(r->target, sizeof(r->target), json_string_value(json_object_get(value, "target")));
			return true;
		}
	return false;
}

/* A verdict map: each of its elements is a rule of its own. */
static void nft_vmap(struct rule *r, const json_t *vmap)
{
	const json_t *key = json_object_get(vmap, "key"), *data = json_object_get(vmap, "data"),
		     *list = json_object_get(data, "set"), *pair;
	size_t i;

	if (!json_is_array(list)) { /* a named one: its elements are elsewhere */
		(void)condition(r, UNKNOWN, false);
		return;
	}
	json_array_foreach(list, i, pair)
	{
		struct rule *b = append(&r->branches, &r->n_branches, sizeof(*b));
		const char *name;
		json_t *value;

		if (!b)
			return;
		nft_implied(b, key);
		nft_value(b, nft_key(key), false, json_array_get(pair, 0), false);
		json_object_foreach(json_array_get(pair, 1), name, value)(void) nft_verdict(b, name, value);
	}
}

static void nft_expression(struct rule *r, const char *name, json_t *value, bool *rpfilter)
{
	const json_t *left = json_object_get(value, "left"), *fib = json_object_get(left, "fib"), *v;
	const char *op = json_string_value(json_object_get(value, "op"));
	size_t i;

	if (!strcmp(name, "match")) {
		json_array_foreach(json_object_get(fib, "flags"), i,
			v) if (!strcmp(json_string_value(v) ? json_string_value(v) : "", "iif")) *rpfilter = true;
		nft_implied(r, left);
		if (op && strcmp(op, "==") != 0 && strcmp(op, "in") != 0 && strcmp(op, "!=") != 0)
			(void)condition(r, UNKNOWN, false);
		else
			nft_value(r, nft_key(left), op && !strcmp(op, "!="), json_object_get(value, "right"), false);
	} else if (!strcmp(name, "vmap")) {
		nft_vmap(r, value);
	} else if (!nft_verdict(r, name, value) && strcmp(name, "counter") != 0 && strcmp(name, "log") != 0) {
		(void)condition(r, UNKNOWN, false);
	}
}

static void add_nft_rule(struct firewall *f, const json_t *j)
{
	const char *table = json_string_value(json_object_get(j, "table")),
		   *family = json_string_value(json_object_get(j, "family"));
	const char *chain = json_string_value(json_object_get(j, "chain")), *name;
	struct chain *c = table && family && chain ? find_chain(f, "nft", family, table, chain) : NULL;
	struct rule *r = c ? append(&c->rules, &c->n, sizeof(*r)) : NULL;
	bool rpfilter = false;
	json_t *e, *value;
	char *text;
	size_t i;

	if (!r)
		return;
	r->position = (unsigned)json_integer_value(json_object_get(j, "handle"));
	json_array_foreach(json_object_get(j, "expr"), i, e) json_object_foreach(e, name, value)
		nft_expression(r, name, value, &rpfilter);
	r->rpfilter = rpfilter && r->action == DROP;
	text = json_dumps(json_object_get(j, "expr"), JSON_COMPACT);
	(void)snprintf(r->text, sizeof(r->text), "%.7s %.60s %.60s handle %u: %.200s", family, table, chain,
		r->position, text ? text : "");
	free(text);
}

int firewall_add_nft(struct firewall *f, const json_t *ruleset)
{
	const json_t *list = json_object_get(ruleset, "nftables"), *o, *j;
	size_t i;

	json_array_foreach(list, i, o)
	{
		const char *family, *hook, *policy;
		struct chain *c;

		j = json_object_get(o, "chain");
		family = json_string_value(json_object_get(j, "family"));
		if (!family || (strcmp(family, "ip6") != 0 && strcmp(family, "inet") != 0))
			continue;
		c = new_chain(f, "nft", family, json_string_value(json_object_get(j, "table")),
			json_string_value(json_object_get(j, "name")));
		if (!c)
			return -ENOMEM;
		hook = json_string_value(json_object_get(j, "hook"));
		policy = json_string_value(json_object_get(j, "policy"));
		put(c->hook, sizeof(c->hook), hook);
		c->policy_drop = policy && !strcmp(policy, "drop");
	}
	json_array_foreach(list, i, o)
	{
		j = json_object_get(o, "rule");
		if (j)
			add_nft_rule(f, j);
	}
	return 0;
}

/* --- a packet on its way ----------------------------------------------------------------------------------------- */

static enum match match_name(const struct condition *c, const char *name)
{
	size_t n = strlen(c->name);

	if (n == 0)
		return MAYBE;
	if (!name) /* an interface that rules do not know by name */
		return n == 1 && (c->name[0] == '+' || c->name[0] == '*') ? YES : NO;
	if (c->name[n - 1] == '+' || c->name[n - 1] == '*')
		return strncmp(c->name, name, n - 1) == 0 ? YES : NO;
	return strcmp(c->name, name) == 0 ? YES : NO;
}

static enum match match_range(const struct condition *c, unsigned value)
{
	return value >= c->low && value <= c->high ? YES : NO;
}

static enum match match_one(const struct condition *c, const struct firewall_packet *p)
{
	enum match m = MAYBE;

	switch (c->key) {
	case IIF:
		m = !strcmp(p->hook, "output") ? NO : match_name(c, p->iif);
		break;
	case OIF:
		m = !strcmp(p->hook, "input") ? NO : match_name(c, p->oif);
		break;
	case PROTOCOL:
		m = p->protocol ? match_range(c, p->protocol) : c->low == 0 && c->high == 255 ? YES : MAYBE;
		break;
	case SPORT:
	case DPORT:
		if (p->protocol != PROTO_UDP)
			m = p->protocol ? NO : MAYBE;
		else if (c->key == SPORT ? p->sport : p->dport)
			m = match_range(c, c->key == SPORT ? p->sport : p->dport);
		break;
	case ICMP_TYPE:
		m = p->protocol == PROTO_ICMP ? match_range(c, p->icmp_type) : p->protocol ? NO : MAYBE;
		break;
	case STATE:
		m = c->low == 0 ? NO : (c->low == 1) == p->established ? YES : NO;
		break;
	case FAMILY:
		m = c->low == 6 ? YES : NO;
		break;
	case GLOBAL:
		m = YES;
		break;
	case UNKNOWN:
		break;
	}
	return c->not &&m != MAYBE ? (m == YES ? NO : YES) : m;
}

static enum match match_rule(const struct rule *r, const struct firewall_packet *p)
{
	enum match all = YES;

	for (size_t i = 0; i < r->n; i++) {
		enum match m = match_one(&r->conditions[i], p);
		bool not = r->conditions[i].not ;

		while (r->conditions[i].or_next && i + 1 < r->n) { /* one of several; none of several, if negated */
			enum match next = match_one(&r->conditions[++i], p);

			m = not ? (next < m ? next : m) : (next > m ? next : m);
		}
		if (m < all)
			all = m;
	}
	return all;
}

struct walk {
	const struct firewall *f;
	const struct firewall_packet *p;
	const struct chain *base;
	bool doubt; /* a rule may have accepted it */
	const struct rule *dropped_by;
};

static enum action walk_rules(
	struct walk *w, const struct chain *c, const struct rule *rules, size_t n, unsigned depth);

/* What one rule does to the packet; NOTHING = go on. */
static enum action walk_rule(struct walk *w, const struct chain *c, const struct rule *r, unsigned depth)
{
	enum match m = match_rule(r, w->p);
	const struct chain *to;
	enum action a;

	if (m == NO)
		return NOTHING;
	if (r->n_branches)
		return m == YES ? walk_rules(w, c, r->branches, r->n_branches, depth) : NOTHING;
	switch (r->action) {
	case NOTHING:
		return NOTHING;
	case ACCEPT:
		w->doubt |= m == MAYBE;
		return m == YES ? ACCEPT : NOTHING;
	case DROP:
		if (m == YES && !w->dropped_by)
			w->dropped_by = r;
		return m == YES ? DROP : NOTHING;
	case RETURN:
		return m == YES ? RETURN : NOTHING;
	case JUMP:
	case GOTO:
		to = find_chain(w->f, c->tool, c->family, c->table, r->target);
		a = to && depth < DEPTH ? walk_rules(w, to, to->rules, to->n, depth + 1) : NOTHING;
		if (m == MAYBE) {
			w->doubt |= a == ACCEPT;
			if (a == DROP)
				w->dropped_by = NULL;
			return NOTHING;
		}
		return a == ACCEPT || a == DROP ? a : r->action == GOTO && to ? RETURN : NOTHING;
	}
	return NOTHING;
}

static enum action walk_rules(struct walk *w, const struct chain *c, const struct rule *rules, size_t n, unsigned depth)
{
	for (size_t i = 0; i < n; i++) {
		enum action a = walk_rule(w, c, &rules[i], depth);

		if (a != NOTHING)
			return a;
	}
	return NOTHING;
}

/* The command that lets it pass: in front of all rules of the chain, or where the program that owns the table
 * wants it. */
static void write_remedy(const struct walk *w, char *ret)
{
	const struct chain *c = w->base;
	const struct firewall_packet *p = w->p;
	bool nft = !strcmp(c->tool, "nft");
	const char *name = !strcmp(c->hook, "forward") && find_chain(w->f, c->tool, c->family, c->table, "DOCKER-USER")
		? "DOCKER-USER"
		: c->name;
	char match[160] = "";
	size_t n = 0;

	if (!strcmp(c->table, "firewalld")) {
		if (!strcmp(c->hook,
			    "forward")) /* a router's IPv6 between all zones; each for itself is still closed */
			(void)snprintf(ret, FIREWALL_TEXT,
				"printf '<policy target=\"CONTINUE\"><rule "
				"family=\"ipv6\"><source address=\"2000::/3\"/><accept/></rule><ingress-zone "
				"name=\"ANY\"/>"
				"<egress-zone name=\"ANY\"/></policy>' >/etc/firewalld/policies/dmm.xml && "
				"firewall-cmd --reload");
		else if (p->protocol == PROTO_UDP)
			(void)snprintf(ret, FIREWALL_TEXT,
				"firewall-cmd --permanent --add-%s=%u/udp && firewall-cmd --reload",
				p->dport ? "port" : "source-port", p->dport ? p->dport : p->sport);
		else
			(void)snprintf(ret, FIREWALL_TEXT,
				"firewall-cmd --permanent --add-protocol=%s && firewall-cmd --reload",
				p->protocol == PROTO_ICMP ? "ipv6-icmp" : "ipv6");
		return;
	}
	if (p->iif)
		n += (size_t)snprintf(match + n, sizeof(match) - n, nft ? " iifname %s" : " -i %s", p->iif);
	if (p->oif)
		n += (size_t)snprintf(match + n, sizeof(match) - n, nft ? " oifname %s" : " -o %s", p->oif);
	if (p->protocol == PROTO_UDP)
		(void)snprintf(match + n, sizeof(match) - n, nft ? " udp %s %u" : " -p udp --%s %u",
			p->dport ? "dport" : "sport", p->dport ? p->dport : p->sport);
	else if (p->protocol == PROTO_IPV6)
		(void)snprintf(match + n, sizeof(match) - n, nft ? " meta l4proto 41" : " -p 41");
	else if (p->protocol == PROTO_ICMP)
		(void)snprintf(match + n, sizeof(match) - n, nft ? " icmpv6 type %u" : " -p icmpv6 --icmpv6-type %u",
			p->icmp_type);
	if (nft)
		(void)snprintf(
			ret, FIREWALL_TEXT, "nft insert rule %s %s %s%s accept", c->family, c->table, name, match);
	else
		(void)snprintf(ret, FIREWALL_TEXT, "%s -t %s -I %s%s -j ACCEPT", c->tool, c->table, name, match);
}

enum firewall_verdict firewall_try(
	const struct firewall *f, const struct firewall_packet *p, struct firewall_drop *ret_drop)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct chain *c = &f->chains[i];
		struct walk w = {.f = f, .p = p, .base = c};
		enum action a;

		if (strcmp(c->hook, p->hook) != 0)
			continue;
		a = walk_rules(&w, c, c->rules, c->n, 0);
		if (a == ACCEPT || (a != DROP && !c->policy_drop))
			continue;
		if (w.dropped_by)
			(void)snprintf(
				ret_drop->rule, sizeof(ret_drop->rule), "%s: %.300s", c->tool, w.dropped_by->text);
		else
			(void)snprintf(ret_drop->rule, sizeof(ret_drop->rule),
				"%s: policy drop of chain %s in table %s%s%s", c->tool, c->name, c->family,
				*c->family ? " " : "", c->table);
		write_remedy(&w, ret_drop->remedy);
		return w.doubt ? FIREWALL_UNCERTAIN : FIREWALL_DROPS;
	}
	return FIREWALL_PASSES;
}

bool firewall_has_rpfilter(const struct firewall *f, struct firewall_drop *ret)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct chain *c = &f->chains[i];

		for (size_t k = 0; k < c->n; k++) {
			const struct rule *r = &c->rules[k];
			const char *spec = strstr(r->text, "-A ");

			if (!r->rpfilter)
				continue;
			(void)snprintf(ret->rule, sizeof(ret->rule), "%s: %.300s", c->tool, r->text);
			if (!strcmp(c->table, "firewalld"))
				(void)snprintf(ret->remedy, sizeof(ret->remedy),
					"sed -i 's/^IPv6_rpfilter=.*/IPv6_rpfilter=no/' /etc/firewalld/firewalld.conf "
					"&& firewall-cmd --reload");
			else if (!strcmp(c->tool, "nft") || !spec)
				(void)snprintf(ret->remedy, sizeof(ret->remedy),
					"nft replace rule %s %s %s handle %u meta nfproto ipv6 fib saddr oif missing "
					"drop",
					c->family, c->table, c->name, r->position);
			else
				(void)snprintf(ret->remedy, sizeof(ret->remedy),
					"%s -t %s -R %s %u -m rpfilter --loose %.200s", c->tool, c->table, c->name,
					r->position,
					strstr(spec, "-m rpfilter")
						? strstr(spec, "-m rpfilter") + strlen("-m rpfilter ")
						: "--invert -j DROP");
			return true;
		}
	}
	return false;
}
