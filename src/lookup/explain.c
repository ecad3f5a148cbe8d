/*
 * lookup/explain: how an address would be routed, step by step, for people.
 */
#include "lookup/explain.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
#include "lookup/expand.h"
#include "lookup/resolve.h"
#include "lookup/system.h"

/* What RCPT says to those who may not relay. */
#define STRANGERS "554 5.7.1 Relay access denied"

struct explain {
	struct acct acct;
	struct conf_report *report;
	const struct conf *conf;
	struct resolver resolver;
	struct system_facts system;
	const char *overrides[CONF_OVERRIDE_COUNT_MAX];
	struct conf_input input;
	const char *address;
	bool json;
	unsigned step_count;
	/* Of an alias: what it stands for, and a copy of its answer. */
	struct expand expand;
	unsigned target_count;
	/* Delivered here, but not for strangers. */
	bool closed;
	char alias[ADDRESS_BYTES_MAX];
	char nexthop[301];
};

static void
print_escaped(struct slice s, bool json)
{
	char buf[256];

	while (s.len > 0) {
		size_t n = json ? slice_json(&s, buf, sizeof(buf))
				: slice_escape(&s, buf, sizeof(buf));

		(void)fwrite(buf, 1, n, stdout);
	}
}

static void
print_member(const char *lead, const char *key, struct slice value)
{
	printf("%s\"%s\": \"", lead, key);
	print_escaped(value, true);
	printf("\"");
}

static void
print_step(void *arg, const char *place, const char *text)
{
	struct explain *x = arg;

	if (x->json) {
		printf("%s\n  ", x->step_count++ > 0 ? "," : "");
		print_member("{", "place", slice_str(place));
		print_member(", ", "text", slice_str(text));
		printf("}");
		return;
	}
	print_escaped(slice_str(place), false);
	if (place[0] != '\0')
		printf(": ");
	print_escaped(slice_str(text), false);
	printf("\n");
}

/* It has to be expanded. */
static bool
is_alias(const struct fr_resolved *f)
{
	return f->verdict != RESOLVE_REFUSE && f->mailbox.len == 0 &&
	       slice_eq(f->transport, SLICE_LIT("local"));
}

static void
print_target(struct explain *x, const struct alias_target *target)
{
	static const char *const marks[] = {
		[ALIAS_USER] = "\\",
		[ALIAS_COMMAND] = "|",
		[ALIAS_INCLUDE] = ":include:",
	};
	const char *mark = "";
	char text[ALIAS_TARGET_BYTES_MAX + 16];

	if (target->kind < ARRAY_LEN(marks) && marks[target->kind] != NULL)
		mark = marks[target->kind];
	(void)snprintf(text, sizeof(text), "to %s%.*s", mark,
	    SLICE_ARGS(target->text));
	print_step(x, "", text);
	x->target_count++;
}

/* Tells what an alias stands for; *f becomes its refusal if it cannot be
 * told. */
static void
expand_alias(struct explain *x, struct fr_resolved *f)
{
	struct alias_target target;
	enum err e;

	/* They lie in the resolver, which goes on. */
	memcpy(x->alias, f->address.data, f->address.len);
	f->address.data = x->alias;
	(void)slice_copy(f->nexthop, x->nexthop, sizeof(x->nexthop));
	f->nexthop = slice_str(x->nexthop);
	f->transport = SLICE_LIT("local");
	if (expand_open(&x->expand, &x->resolver, &x->acct, f->address,
		print_step, x) != OK) {
		fprintf(stderr, "weir-lookup: out of memory\n");
		return;
	}
	while ((e = expand_next(&x->expand, &target)) != ERR_NOTFOUND)
		if (e == OK)
			print_target(x, &target);
	if (x->expand.end.error != OK) {
		f->verdict = RESOLVE_REFUSE;
		f->code = x->expand.end.code;
		f->status = x->expand.end.status;
		f->text = x->expand.end.text;
	}
	expand_close(&x->expand);
}

static const char *
verdict_name(const struct explain *x, const struct fr_resolved *f)
{
	switch (f->verdict) {
	case RESOLVE_OK: return "deliver";
	case RESOLVE_REMOTE: return x->closed ? "deliver" : "relay";
	default: return f->code < 500 ? "defer" : "refuse";
	}
}

static void
print_result(struct explain *x, const struct fr_resolved *f)
{
	bool refused = f->verdict == RESOLVE_REFUSE;

	printf("result: %s", verdict_name(x, f));
	if (refused) {
		printf(": %u %.*s ", (unsigned)f->code, SLICE_ARGS(f->status));
		print_escaped(f->text, false);
		printf("\n");
		return;
	}
	printf(" <");
	print_escaped(f->address, false);
	printf(">: transport %.*s, next hop ", SLICE_ARGS(f->transport));
	print_escaped(f->nexthop, false);
	if (f->mailbox.len > 0) {
		bool virtual = slice_eq(f->transport, SLICE_LIT("virtual"));

		printf(virtual ? ", mailbox " : ", user ");
		if (virtual)
			printf("%s/", x->conf->virtual_mailbox_base);
		print_escaped(f->mailbox, false);
		if (f->uid != 0)
			printf(", uid %u, gid %u", f->uid, f->gid);
	}
	if (is_alias(f)) {
		printf(", targets %u", x->target_count);
		if (x->expand.end.owner.len > 0) {
			printf(", sender <");
			print_escaped(x->expand.end.owner, false);
			printf(">");
		}
	}
	printf(f->verdict == RESOLVE_REMOTE
		   ? ", for clients in mynetworks only, others read " STRANGERS
		     "\n"
		   : "\n");
}

static void
print_json_result(const struct explain *x, const struct fr_resolved *f)
{
	print_member("],\n ", "verdict", slice_str(verdict_name(x, f)));
	print_member(",\n ", "address", f->address);
	if (f->verdict == RESOLVE_REFUSE) {
		printf(",\n \"code\": %u", (unsigned)f->code);
		print_member(",\n ", "status", f->status);
		print_member(",\n ", "text", f->text);
	} else {
		print_member(",\n ", "transport", f->transport);
		print_member(",\n ", "nexthop", f->nexthop);
		print_member(",\n ", "mailbox", f->mailbox);
		printf(",\n \"uid\": %u,\n \"gid\": %u", f->uid, f->gid);
		if (f->verdict == RESOLVE_REMOTE)
			print_member(",\n ", "strangers", slice_str(STRANGERS));
		if (is_alias(f))
			print_member(",\n ", "owner", x->expand.end.owner);
	}
	printf("}\n");
}

static int
usage(void)
{
	fprintf(stderr, "usage: weir-lookup --explain [--json] [-c FILE] "
			"[-o NAME=VALUE]... ADDRESS\n");
	return EX_USAGE;
}

/* argv[1] is --explain; options and the address in any order. */
static bool
take_arguments(struct explain *x, int argc, char **argv)
{
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			x->json = true;
		} else if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
			x->input.path = argv[++i];
		} else if (strcmp(argv[i], "-o") == 0 && i + 1 < argc) {
			if (x->input.override_count == CONF_OVERRIDE_COUNT_MAX)
				return false;
			x->overrides[x->input.override_count++] = argv[++i];
		} else if (x->address == NULL && argv[i][0] != '-') {
			x->address = argv[i];
		} else {
			return false;
		}
	}
	x->input.overrides = x->overrides;
	return x->address != NULL;
}

/* Brackets may stand around it, as in a message. */
static struct slice
address_of(const struct explain *x, char buf[ADDRESS_BYTES_MAX])
{
	struct slice text = slice_trim(slice_str(x->address));
	struct address a;

	if (text.len >= 2 && text.data[0] == '<' &&
	    text.data[text.len - 1] == '>')
		text = slice_sub(text, 1, text.len - 1);
	if (address_parse(text, ADDRESS_UTF8 | ADDRESS_BARE, buf, &a) == OK)
		return a.text;
	return text;
}

static int
run(struct explain *x)
{
	char buf[ADDRESS_BYTES_MAX];
	struct fr_resolved f;
	struct slice address = address_of(x, buf);

	if (x->json)
		printf("{\"steps\": [");
	resolve_explain(&x->resolver, address, &f, print_step, x);
	x->closed = x->resolver.closed; /* an alias's targets are others */
	if (is_alias(&f))
		expand_alias(x, &f);
	if (x->json)
		print_json_result(x, &f);
	else
		print_result(x, &f);
	if (fflush(stdout) != 0 || ferror(stdout))
		return EX_IOERR;
	if (f.verdict == RESOLVE_REFUSE && f.code == 451)
		return EX_TEMPFAIL;
	return EX_OK;
}

static int
load_and_run(struct explain *x)
{
	struct errtext et;
	int status;
	enum err e;

	e = conf_load(&x->acct, &x->input, x->report, &x->conf);
	for (unsigned i = 0; i < x->report->count; i++)
		if (x->report->messages[i].is_error)
			fprintf(stderr, "%s\n", x->report->messages[i].text);
	if (e != OK)
		return e == ERR_CONFIG ? EX_CONFIG : EX_TEMPFAIL;
	system_facts_init(&x->system);
	e = resolver_open(&x->resolver, &x->acct, x->conf, &x->system.ops, &et);
	if (e != OK) {
		fprintf(stderr, "weir-lookup: %s\n", et.text);
		status = e == ERR_CONFIG ? EX_CONFIG : EX_TEMPFAIL;
	} else {
		status = run(x);
		resolver_close(&x->resolver);
	}
	conf_free(x->conf);
	return status;
}

int
explain_main(int argc, char **argv)
{
	static struct explain x;
	int status;

	acct_init(&x.acct, NULL, "explain", 0, false, "");
	if (!take_arguments(&x, argc, argv))
		return usage();
	x.report = conf_report_new(&x.acct);
	if (x.report == NULL)
		return EX_TEMPFAIL;
	status = load_and_run(&x);
	conf_report_free(&x.acct, x.report);
	return status;
}
