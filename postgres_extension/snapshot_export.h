/*
 * snapshot_export.h
 *	  pg_export_snapshot and SET TRANSACTION SNAPSHOT, on the same instance and
 *	  between instances.
 */
#ifndef BOREALIS_SNAPSHOT_EXPORT_H
#define BOREALIS_SNAPSHOT_EXPORT_H

#include "borealis.h"

#include "nodes/parsenodes.h"

/* True if the statement was SET TRANSACTION SNAPSHOT; then it is done. */
extern bool snapshot_import_takes(Node *statement, bool is_top_level);

extern void snapshot_export_init(void);

#endif							/* BOREALIS_SNAPSHOT_EXPORT_H */
