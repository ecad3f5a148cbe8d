/*
 * drop: a message into the drop directory, while no server runs.
 */
#pragma once

#include "base/err.h"
#include "sendmail/message.h"

/*
 * drop_message(m, program, et):
 * Execute program (weir-drop) and give it the message; m is begun.  EX_OK
 * when it is safe on disk, else an exit status, with et.
 */
int drop_message(struct message *m, const char *program, struct errtext *et);
