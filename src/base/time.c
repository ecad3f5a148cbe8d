#include "base/time.h"

#include <stdio.h>
#include <time.h>

#include "base/assert.h"

static int64_t
read_clock_ns(clockid_t id)
{
	struct timespec ts;

	/* Cannot fail for the two clocks used here. */
	ASSERT(clock_gettime(id, &ts) == 0);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static struct mono
system_mono(struct clock *c)
{
	(void)c;
	return (struct mono){ read_clock_ns(CLOCK_MONOTONIC) / 1000000 };
}

static struct wall
system_wall(struct clock *c)
{
	(void)c;
	return (struct wall){ read_clock_ns(CLOCK_REALTIME) / 1000000 };
}

struct clock clock_system = { system_mono, system_wall };

int64_t
clock_ns(void)
{
	return read_clock_ns(CLOCK_MONOTONIC);
}

int64_t
clock_wall_ns(void)
{
	return read_clock_ns(CLOCK_REALTIME);
}

static const char day_names[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri",
	"Sat" };
static const char month_names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May",
	"Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

struct date {
	int64_t year;
	int month; /* 1 to 12 */
	int day;   /* 1 to 31 */
	int weekday;
	int hour, minute, second, ms;
};

/*
 * Days since 1970-01-01 to a date of the Gregorian calendar, by eras of 400
 * years that begin on 1 March, so that the leap day is the last of a year.
 * Own arithmetic, because gmtime() consults the environment and may allocate.
 */
static void
set_day(struct date *d, int64_t days)
{
	int64_t z = days + 719468; /* from 0000-03-01 */
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t in_era = z - era * 146097;
	int64_t year =
	    (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
	int64_t m = (5 * in_year + 2) / 153; /* 0 is March */
	int64_t weekday = (days + 4) % 7;    /* 1970-01-01 was a Thursday */

	d->day = (int)(in_year - (153 * m + 2) / 5 + 1);
	d->month = (int)(m < 10 ? m + 3 : m - 9);
	d->year = year + era * 400 + (d->month <= 2);
	d->weekday = (int)(weekday < 0 ? weekday + 7 : weekday);
}

static struct date
date_of(struct wall t)
{
	struct date d = { 0 };
	int64_t in_day = t.ms % 86400000;
	int64_t days = t.ms / 86400000;

	if (in_day < 0) {
		in_day += 86400000;
		days--;
	}
	set_day(&d, days);
	d.hour = (int)(in_day / 3600000);
	d.minute = (int)(in_day / 60000 % 60);
	d.second = (int)(in_day / 1000 % 60);
	d.ms = (int)(in_day % 1000);
	return d;
}

void
time_rfc5322(struct wall t, char buf[static TIME_RFC5322_BYTES])
{
	struct date d = date_of(t);

	snprintf(buf, TIME_RFC5322_BYTES, "%s, %d %s %lld %02d:%02d:%02d +0000",
	    day_names[d.weekday], d.day, month_names[d.month - 1],
	    (long long)d.year, d.hour, d.minute, d.second);
}

void
time_iso8601(struct wall t, char buf[static TIME_RFC5322_BYTES])
{
	struct date d = date_of(t);

	snprintf(buf, TIME_RFC5322_BYTES,
	    "%04lld-%02d-%02dT%02d:%02d:%02d.%03dZ", (long long)d.year, d.month,
	    d.day, d.hour, d.minute, d.second, d.ms);
}

void
time_asctime(struct wall t, char buf[static TIME_RFC5322_BYTES])
{
	struct date d = date_of(t);

	snprintf(buf, TIME_RFC5322_BYTES, "%s %s %2d %02d:%02d:%02d %lld",
	    day_names[d.weekday], month_names[d.month - 1], d.day, d.hour,
	    d.minute, d.second, (long long)d.year);
}
