/*
 * async_job.h
 *	  Statements that answer with the id of a job: CREATE INDEX ASYNC, and ALTER
 *	  TABLE ASYNC ... VALIDATE CONSTRAINT.
 *
 * The work is done before the statement ends, so that the job is completed as
 * soon as anybody can see it.  Its record is a security label of the index or the
 * constraint, which the view sys.jobs reads.
 *
 * The grammar gives an IndexStmt or AlterTableStmt, which returns no rows.  In its
 * place the statement becomes a call of the procedure sys.start_job, which is
 * never carried out; it describes the answer, and holds what the grammar gave,
 * as no text that a user can write does.
 */
#ifndef BOREALIS_ASYNC_JOB_H
#define BOREALIS_ASYNC_JOB_H

#include "borealis.h"

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "tcop/dest.h"
#include "tcop/utility.h"

extern void async_job_init(void);

/* The call that takes the place of the statement.  ERROR for what cannot be a job. */
extern Node *async_job_call(Node *statement);
extern bool async_job_is_call(const Node *statement);

/* Does the work and sends the job's id. */
extern void async_job_execute(const PlannedStmt *call, const char *source,
							  ProcessUtilityContext context, DestReceiver *dest,
							  QueryCompletion *completion);

#endif							/* BOREALIS_ASYNC_JOB_H */
