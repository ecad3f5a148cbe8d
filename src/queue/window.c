#include "queue/window.h"

#include "base/assert.h"

void
window_init(struct window *w, unsigned initial, unsigned max)
{
	*w = (struct window){ .size = initial, .max = max };
	if (max > 0 && w->size > max)
		w->size = max;
	if (w->size == 0)
		w->size = 1;
}

void
window_set_max(struct window *w, unsigned max)
{
	w->max = max;
	if (max > 0 && w->size > max)
		w->size = max;
}

void
window_good(struct window *w, unsigned in_use, unsigned initial)
{
	w->cohorts = 0;
	if (w->max > 0 && w->size >= w->max)
		return;
	if (w->size >= in_use + initial)
		return;
	w->success += 1.0f / (float)w->size;
	/* Adding 1/n n times gives a little less than 1. */
	if (w->success >= 0.999f) {
		w->size++;
		w->success = 0;
		w->failure = 0;
	}
}

bool
window_bad(struct window *w)
{
	float share = 1.0f / (float)w->size;

	ASSERT(w->size > 0);
	w->cohorts += share;
	if (w->cohorts >= 0.999f)
		return true;
	/* The first failure of a series goes below 0 and brakes at once. */
	w->failure -= share;
	if (w->failure < -0.001f) {
		if (w->size > 1)
			w->size--;
		w->success = 0;
		w->failure += 1.0f;
	}
	return false;
}
