#include "weir/format.h"

#include <stdio.h>
#include <time.h>

void
format_bytes(int64_t bytes, char buf[static FORMAT_BYTES])
{
	static const char units[][4] = { "B", "KiB", "MiB", "GiB", "TiB" };
	int64_t scale = 1;
	size_t unit = 0;

	if (bytes < 0)
		bytes = 0;
	while (unit < 4 && bytes / scale >= 1024) {
		scale *= 1024;
		unit++;
	}
	if (bytes % scale == 0 || bytes / scale >= 100)
		snprintf(buf, FORMAT_BYTES, "%lld %s",
		    (long long)(bytes / scale), units[unit]);
	else
		snprintf(buf, FORMAT_BYTES, "%lld.%lld %s",
		    (long long)(bytes / scale),
		    (long long)(bytes % scale * 10 / scale), units[unit]);
}

static const struct {
	int64_t ms;
	const char *name;
	int64_t next_ms; /* the unit below, if it is worth showing */
	const char *next_name;
} spans[] = {
	{ 86400000, "d", 3600000, "h" },
	{ 3600000, "h", 60000, "m" },
	{ 60000, "m", 1000, "s" },
	{ 1000, "s", 0, "" },
};

void
format_span(int64_t ms, char buf[static FORMAT_BYTES])
{
	if (ms < 0)
		ms = 0;
	for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
		int64_t count = ms / spans[i].ms;
		int64_t rest = ms % spans[i].ms;

		if (count == 0)
			continue;
		if (spans[i].next_ms == 0 || count >= 10 ||
		    rest / spans[i].next_ms == 0)
			snprintf(buf, FORMAT_BYTES, "%lld%s", (long long)count,
			    spans[i].name);
		else
			snprintf(buf, FORMAT_BYTES, "%lld%s%lld%s",
			    (long long)count, spans[i].name,
			    (long long)(rest / spans[i].next_ms),
			    spans[i].next_name);
		return;
	}
	snprintf(buf, FORMAT_BYTES, "%lldms", (long long)ms);
}

void
format_date(struct wall t, char buf[static FORMAT_BYTES])
{
	time_t seconds = (time_t)(t.ms / 1000);
	struct tm tm;

	if (localtime_r(&seconds, &tm) == NULL ||
	    strftime(buf, FORMAT_BYTES, "%a %b %e %H:%M:%S", &tm) == 0)
		snprintf(buf, FORMAT_BYTES, "?");
}

bool
parse_span(struct slice s, int64_t *ms_out)
{
	static const struct {
		char letter;
		int64_t ms;
	} units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 },
		{ 'd', 86400000 }, { 'w', 604800000 } };
	int64_t unit = 1000;
	uint64_t count;

	for (size_t i = 0; s.len > 0 && i < sizeof(units) / sizeof(units[0]);
	     i++) {
		if (s.data[s.len - 1] == units[i].letter) {
			unit = units[i].ms;
			s.len--;
			break;
		}
	}
	if (!slice_to_u64(s, (uint64_t)(INT64_MAX / unit), &count))
		return false;
	*ms_out = (int64_t)count * unit;
	return true;
}
