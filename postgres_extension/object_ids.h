/*
 * object_ids.h
 *	  OIDs and relfilenodes that no other object of the cluster has or will
 *	  have, for what DDL makes here.
 */
#ifndef BOREALIS_OBJECT_IDS_H
#define BOREALIS_OBJECT_IDS_H

#include "borealis.h"

/*
 * Below are the seed's objects; above, the OIDs of temporary objects and
 * out-of-line values, which mean nothing outside their instance.
 */
#define SHARED_OID_FIRST 32768U
#define SHARED_OID_LAST 4000000000U

static inline bool
object_id_is_shared(Oid oid)
{
	return oid <= SHARED_OID_LAST;
}

extern void object_ids_init(void);		/* from _PG_init */
extern void object_ids_startup(void);	/* in the postmaster, shared memory exists */

/*
 * The worker, before clients are let in and now and then: the server's own
 * counter is and stays local, also when it comes to its end.
 */
extern void object_ids_start_local(void);

/*
 * Between these two, everything this process makes gets OIDs of the cluster.
 * Nests.  object_ids_leave checks that no more were drawn than had been
 * reserved (ERROR 54000); after an error object_ids_abandon takes its place.
 */
extern void object_ids_enter(void);
extern void object_ids_leave(void);
extern void object_ids_abandon(void);

#endif							/* BOREALIS_OBJECT_IDS_H */
