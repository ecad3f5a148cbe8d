/*
 * job: records of a delivery, encoded and decoded.
 */
#include "ipc/job.h"

void
extent_put(struct wr *w, const struct extent *e)
{
	wr_u64(w, e->segment);
	wr_u32(w, e->offset);
	wr_u32(w, e->length);
}

bool
extent_get(struct rd *r, struct extent *e)
{
	e->segment = rd_u64(r);
	e->offset = rd_u32(r);
	e->length = rd_u32(r);
	if (e->length == 0 || e->offset > UINT32_MAX - e->length)
		r->bad = true;
	return !r->bad;
}

void
job_rcpt_put(struct wr *w, const struct job_rcpt *j)
{
	wr_u32(w, j->index);
	wr_u8(w, j->notify);
	wr_str(w, j->address, JOB_ADDRESS_BYTES_MAX);
	wr_str(w, j->orcpt, JOB_ORCPT_BYTES_MAX);
	wr_str(w, j->original, JOB_ADDRESS_BYTES_MAX);
	wr_str(w, j->mailbox, JOB_MAILBOX_BYTES_MAX);
	wr_u32(w, j->uid);
	wr_u32(w, j->gid);
}

bool
job_rcpt_get(struct rd *r, struct job_rcpt *j)
{
	j->index = rd_u32(r);
	j->notify = rd_u8(r);
	j->address = rd_str(r, JOB_ADDRESS_BYTES_MAX);
	j->orcpt = rd_str(r, JOB_ORCPT_BYTES_MAX);
	j->original = rd_str(r, JOB_ADDRESS_BYTES_MAX);
	j->mailbox = rd_str(r, JOB_MAILBOX_BYTES_MAX);
	j->uid = rd_u32(r);
	j->gid = rd_u32(r);
	return !r->bad;
}

void
job_result_put(struct wr *w, const struct job_result *j)
{
	wr_u32(w, j->index);
	wr_u8(w, j->status);
	wr_str(w, j->dsn, JOB_DSN_BYTES_MAX);
	wr_str(w, j->relay, JOB_RELAY_BYTES_MAX);
	wr_str(w, j->text, JOB_TEXT_BYTES_MAX);
	wr_str(w, j->address, JOB_ADDRESS_BYTES_MAX);
	wr_str(w, j->orcpt, JOB_ORCPT_BYTES_MAX);
}

bool
job_result_get(struct rd *r, struct job_result *j)
{
	j->index = rd_u32(r);
	j->status = rd_u8(r);
	j->dsn = rd_str(r, JOB_DSN_BYTES_MAX);
	j->relay = rd_str(r, JOB_RELAY_BYTES_MAX);
	j->text = rd_str(r, JOB_TEXT_BYTES_MAX);
	j->address = rd_str(r, JOB_ADDRESS_BYTES_MAX);
	j->orcpt = rd_str(r, JOB_ORCPT_BYTES_MAX);
	if (j->status >= JOB_STATUS_COUNT)
		r->bad = true;
	return !r->bad;
}
