/*
 * lookup/checks: what the role local is asked about extensions at RCPT.
 *
 * Happy path: resolve() asks, is told to wait; the request is parked, CHECK
 * goes out; CHECKED comes, is remembered, and the request resolved again.
 *
 * Failure modes: local goes away, does not answer within CHECKS_WAIT_MS, cannot
 * tell, or a request asks for ever more: it gives up, resolves once more and
 * is answered 451.
 */
#include "lookup/checks.h"

#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "ipc/chan.h"

enum { SWEEP_MS = 1000 };

/* ---- what is known ---- */

static struct check_key
key_of(const struct checks *c, struct slice user, struct slice extension)
{
	char text[sizeof(c->user) + sizeof(c->extension)];
	size_t len = user.len + 1 + extension.len;

	if (user.len > 0)
		memcpy(text, user.data, user.len);
	text[user.len] = '\0';
	if (extension.len > 0)
		memcpy(text + user.len + 1, extension.data, extension.len);
	return (struct check_key){
		.a = hash_bytes(text, len),
		.b = hash_keyed(c->second_key, text, len),
	};
}

static struct check_known *
place_of(struct checks *c, const struct check_key *key)
{
	return &c->known[key->a % CHECKS_KNOWN_COUNT];
}

static void
remember(struct checks *c, const struct check_key *key, bool exists)
{
	*place_of(c, key) = (struct check_known){
		.key = *key,
		.expires = mono_add(clock_system.mono(&clock_system),
		    exists ? CHECKS_FOUND_MS : CHECKS_MISSING_MS),
		.exists = exists,
	};
}

enum err
checks_ask(struct checks *c, struct slice user, struct slice extension,
    struct errtext *et)
{
	struct check_known *k;
	struct check_key key;

	if (!slice_copy(user, c->user, sizeof(c->user)) ||
	    !slice_copy(extension, c->extension, sizeof(c->extension)))
		return ERR_NOTFOUND;
	c->asked = (struct fr_check){ slice_str(c->user),
		slice_of(c->extension, extension.len) };
	key = key_of(c, user, extension);
	k = place_of(c, &key);
	if (k->key.a == key.a && k->key.b == key.b &&
	    mono_sub(k->expires, clock_system.mono(&clock_system)) > 0)
		return k->exists ? OK : ERR_NOTFOUND;
	if (c->chan == NULL || (c->current != NULL && c->current->gave_up))
		return err_set(et, ERR_LOOKUP,
		    "whether user %s wants mail for \"%s\" cannot be known "
		    "now",
		    c->user, c->extension);
	return ERR_AGAIN;
}

/* ---- who waits ---- */

static void
parked_free(struct checks *c, struct parked *p)
{
	p->busy = false;
	c->parked_count--;
	limit_set_in_use(c->row, c->parked_count);
	if (c->parked_count == 0)
		ev_timer_clear(&c->timer);
}

static bool
send_question(struct checks *c, struct parked *p)
{
	p->check = c->next_check++;
	p->key = key_of(c, c->asked.user, c->asked.extension);
	p->since = clock_system.mono(&clock_system);
	return p->rounds++ < CHECKS_ROUNDS_MAX &&
	       send_check(c->chan, p->check, &c->asked, -1) == OK;
}

static void
resolve_again(struct checks *c, struct parked *p)
{
	bool answered;

	c->current = p;
	answered = c->again(p);
	/* Once it has given up there are no more questions. */
	if (!answered && !send_question(c, p)) {
		p->gave_up = true;
		answered = c->again(p);
	}
	c->current = NULL;
	/* Its link may have been closed with the answer. */
	if (answered && p->busy)
		parked_free(c, p);
}

static void
give_up(struct checks *c, struct parked *p)
{
	p->gave_up = true;
	resolve_again(c, p);
}

bool
checks_park(struct checks *c, const struct fr_resolve *f, uint32_t tag,
    uint32_t link)
{
	struct parked *p = c->parked;

	if (c->parked_count == CHECKS_PARKED_MAX) {
		limit_refused(c->row);
		return false;
	}
	while (p->busy)
		p++;
	*p = (struct parked){ .busy = true,
		.purpose = f->purpose,
		.tag = tag,
		.link = link,
		.address_len = (uint16_t)f->address.len,
		.sender_len = (uint16_t)f->sender.len };
	memcpy(p->address, f->address.data, f->address.len);
	memcpy(p->sender, f->sender.data, f->sender.len);
	if (!send_question(c, p)) {
		p->busy = false;
		return false;
	}
	if (c->parked_count++ == 0)
		ev_timer_set(&c->timer, SWEEP_MS);
	limit_set_in_use(c->row, c->parked_count);
	return true;
}

void
checks_forget(struct checks *c, uint32_t link)
{
	for (size_t i = 0; i < CHECKS_PARKED_MAX; i++)
		if (c->parked[i].busy && c->parked[i].link == link)
			parked_free(c, &c->parked[i]);
}

void
checks_on_checked(struct checks *c, uint32_t tag, enum check_verdict verdict)
{
	for (size_t i = 0; i < CHECKS_PARKED_MAX; i++) {
		struct parked *p = &c->parked[i];

		/* One that has given up, or is forgotten, is not there. */
		if (!p->busy || p->check != tag)
			continue;
		if (verdict == CHECK_UNKNOWN)
			p->gave_up = true;
		else
			remember(c, &p->key, verdict == CHECK_EXISTS);
		resolve_again(c, p);
		return;
	}
}

void
checks_set_channel(struct checks *c, struct chan *chan)
{
	c->chan = NULL;
	for (size_t i = 0; i < CHECKS_PARKED_MAX; i++)
		if (c->parked[i].busy)
			give_up(c, &c->parked[i]);
	c->chan = chan;
}

static void
on_timer(void *arg, struct ev_timer *t)
{
	struct mono now = clock_system.mono(&clock_system);
	struct checks *c = arg;

	for (size_t i = 0; i < CHECKS_PARKED_MAX; i++) {
		struct parked *p = &c->parked[i];

		if (p->busy && mono_sub(now, p->since) >= CHECKS_WAIT_MS)
			give_up(c, p);
	}
	if (c->parked_count > 0)
		ev_timer_set(t, SWEEP_MS);
}

void
checks_init(struct checks *c, struct ev_loop *loop, checks_again_fn *again)
{
	*c = (struct checks){ .again = again };
	c->second_key[0] = random_u64();
	c->second_key[1] = random_u64();
	ev_timer_init(&c->timer, loop, on_timer, c);
	c->row = limits_row(LIMIT_POOL, "requests that wait for local", "",
	    sizeof(struct parked), CHECKS_PARKED_MAX);
	(void)limits_row(LIMIT_COUNT, "extensions remembered", "",
	    sizeof(struct check_known), CHECKS_KNOWN_COUNT);
}
