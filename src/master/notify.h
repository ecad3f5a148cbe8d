/*
 * notify: tells systemd how the service is (sd_notify(3)).
 */
#pragma once

/* fmt as printf: "READY=1\nSTATUS=...".  Does nothing when nobody listens;
 * never blocks. */
void notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
