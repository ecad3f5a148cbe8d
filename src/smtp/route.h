/*
 * route: from a next hop to the hosts to be tried, in order (RFC 5321 5.1).
 */
#pragma once

#include <stdbool.h>

struct agent;
struct chan;
struct frame;
struct job;

/* Set hosts from the next hop itself, or ask dns; ends in job_routed, now or
 * later. */
void route_start(struct job *j);
/* The dns role is gone, and with it the questions. */
void route_forget_asked(struct agent *g);
/* The dns role is back, or has room: ask again for all that wait. */
void route_ask_again(struct agent *g);
/* DNS_FOUND; malformed: false. */
bool route_on_found(struct agent *g, const struct frame *f);
