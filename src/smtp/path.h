/*
 * path: connections to unix sockets, which the lookup role makes.
 *
 * This process has an empty root: no path means anything to it, and whoever
 * breaks into it finds none.  The lookup role, which is nobody else but sees
 * the files, connects in its place, and only to sockets that it has named as a
 * next hop itself.
 */
#pragma once

#include <stdbool.h>

struct agent;
struct frame;
struct job;

/* Ask for a connection to the job's path; ends in a session, or in job_next
 * with the trouble set, now or later. */
void path_start(struct job *j);
/* The lookup role is gone, and with it the questions. */
void path_forget_asked(struct agent *g);
/* It is back, or has room: ask again for all that wait. */
void path_ask_again(struct agent *g);
/* SOCKET_CONNECTED, whose descriptor is taken; malformed: false. */
bool path_on_connected(struct agent *g, struct frame *f);
