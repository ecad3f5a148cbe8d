/*
 * client_page_rate: rates of one client and of its network, as virtual
 * scheduling: no counters that expire, one instant for each rate.
 */
#include "ipc/client_page_internal.h"

static const int64_t minute_us = 60 * 1000000LL;

/* When all will have been paid for, with these events; not to be before it was
 * with none. */
static int64_t
rate_with(const struct entry *e, enum client_rate rate, unsigned events,
    unsigned per_minute, int64_t now_us)
{
	int64_t tat = e->tat_us[rate] > now_us ? e->tat_us[rate] : now_us;

	return tat + minute_us / per_minute * events;
}

/* e NULL, or per_minute 0: no limit. */
static bool
rate_passes(const struct entry *e, enum client_rate rate, unsigned events,
    unsigned per_minute, int64_t now_us)
{
	return e == NULL || per_minute == 0 ||
	       rate_with(e, rate, events > 0 ? events : 1, per_minute,
		   now_us) <= now_us + minute_us;
}

static void
rate_count(struct entry *e, enum client_rate rate, unsigned events,
    unsigned per_minute, int64_t now_us)
{
	if (e != NULL && per_minute != 0 && events > 0)
		e->tat_us[rate] =
		    rate_with(e, rate, events, per_minute, now_us);
}

enum client_over
client_entry_rate(struct entry *e, struct entry *network, enum client_rate rate,
    unsigned events, struct client_limits limits, int64_t now_ms)
{
	int64_t us = now_ms * 1000;

	if (!rate_passes(e, rate, events, limits.client, us))
		return CLIENT_OVER_OWN;
	if (!rate_passes(network, rate, events, limits.network, us))
		return CLIENT_OVER_NETWORK;
	rate_count(e, rate, events, limits.client, us);
	rate_count(network, rate, events, limits.network, us);
	return CLIENT_PASSED;
}
