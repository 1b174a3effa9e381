/*
 * table_am.h
 *	  The table access method.
 */
#ifndef BOREALIS_TABLE_AM_H
#define BOREALIS_TABLE_AM_H

#include "borealis.h"

#include "access/relscan.h"
#include "access/tableam.h"
#include "write_set.h"

extern const TableAmRoutine borealis_table_am;

/* table_am.c: what storage has counted, with this transaction's own rows */
extern void table_estimate(Relation rel, double *rows, double *bytes);

/* table_scan.c */
extern TableScanDesc borealis_scan_begin(Relation rel, Snapshot snapshot, int nkeys,
										 struct ScanKeyData *key,
										 ParallelTableScanDesc pscan, uint32 flags);
extern void borealis_scan_end(TableScanDesc scan);
extern void borealis_scan_rescan(TableScanDesc scan, struct ScanKeyData *key,
								 bool set_params, bool allow_strat,
								 bool allow_sync, bool allow_pagemode);
extern bool borealis_scan_getnextslot(TableScanDesc scan, ScanDirection direction,
									  TupleTableSlot *slot);
extern void borealis_scan_set_tidrange(TableScanDesc scan, ItemPointer mintid,
									   ItemPointer maxtid);
extern bool borealis_scan_getnextslot_tidrange(TableScanDesc scan, ScanDirection direction,
											   TupleTableSlot *slot);
extern bool borealis_scan_bitmap_next_block(TableScanDesc scan,
											struct TBMIterateResult *tbmres);
extern bool borealis_scan_bitmap_next_tuple(TableScanDesc scan,
											struct TBMIterateResult *tbmres,
											TupleTableSlot *slot);
extern bool borealis_scan_analyze_next_block(TableScanDesc scan, BlockNumber blockno,
											 BufferAccessStrategy bstrategy);
extern bool borealis_scan_analyze_next_tuple(TableScanDesc scan, TransactionId OldestXmin,
											 double *liverows, double *deadrows,
											 TupleTableSlot *slot);
extern double borealis_index_build_range_scan(Relation table_rel, Relation index_rel,
											  struct IndexInfo *index_info,
											  bool allow_sync, bool anyvisible,
											  bool progress, BlockNumber start_blockno,
											  BlockNumber numblocks,
											  IndexBuildCallback callback,
											  void *callback_state, TableScanDesc scan);
extern IndexFetchTableData *borealis_index_fetch_begin(Relation rel);
extern void borealis_index_fetch_reset(IndexFetchTableData *data);
extern void borealis_index_fetch_end(IndexFetchTableData *data);
extern bool borealis_index_fetch_tuple(IndexFetchTableData *scan, ItemPointer tid,
									   Snapshot snapshot, TupleTableSlot *slot,
									   bool *call_again, bool *all_dead);
extern bool borealis_tuple_fetch_row_version(Relation rel, ItemPointer tid,
											 Snapshot snapshot, TupleTableSlot *slot);
extern bool borealis_tuple_tid_valid(TableScanDesc scan, ItemPointer tid);
extern bool borealis_tuple_satisfies_snapshot(Relation rel, TupleTableSlot *slot,
											  Snapshot snapshot);

/* table_modify.c */
extern void borealis_tuple_insert(Relation rel, TupleTableSlot *slot, CommandId cid,
								  int options, struct BulkInsertStateData *bistate);
extern void borealis_tuple_insert_speculative(Relation rel, TupleTableSlot *slot,
											  CommandId cid, int options,
											  struct BulkInsertStateData *bistate,
											  uint32 specToken);
extern void borealis_tuple_complete_speculative(Relation rel, TupleTableSlot *slot,
												uint32 specToken, bool succeeded);
extern void borealis_multi_insert(Relation rel, TupleTableSlot **slots, int nslots,
								  CommandId cid, int options,
								  struct BulkInsertStateData *bistate);
extern TM_Result borealis_tuple_delete(Relation rel, ItemPointer tid, CommandId cid,
									   Snapshot snapshot, Snapshot crosscheck, bool wait,
									   TM_FailureData *tmfd, bool changingPart);
extern TM_Result borealis_tuple_update(Relation rel, ItemPointer otid,
									   TupleTableSlot *slot, CommandId cid,
									   Snapshot snapshot, Snapshot crosscheck, bool wait,
									   TM_FailureData *tmfd, LockTupleMode *lockmode,
									   TU_UpdateIndexes *update_indexes);
extern TM_Result borealis_tuple_lock(Relation rel, ItemPointer tid, Snapshot snapshot,
									 TupleTableSlot *slot, CommandId cid,
									 LockTupleMode mode, LockWaitPolicy wait_policy,
									 uint8 flags, TM_FailureData *tmfd);

/* Moves a row to another key, with all its index entries but one's. */
extern void table_move_row(Relation rel, const uint8 *old_key, uint32 old_key_size,
						   const uint8 *new_key, uint32 new_key_size,
						   HeapTuple tuple, CommandId cid, Oid except_index);

/*
 * Rows and entries of the table are going to be written anew, under keys of new
 * relfilenodes: the old ones go as a whole at commit.  All indexes but one get the
 * page that writes_page puts into their empty files.
 */
extern void table_begin_anew(Relation rel, Oid except_index, void (*write_page) (Relation index));
/* Writes one row, with all its index entries but one's. */
extern void table_put_anew(Relation rel, const uint8 *key, uint32 key_size, HeapTuple tuple,
						   CommandId cid, Oid except_index);

/* True if the update just made left this index's entry as it was. */
extern bool table_update_kept_entry(const WriteVersion *version, Oid index);

/* What this transaction added to the table: an estimate for the planner. */
extern void table_own_estimate(Relation rel, int64 *rows, int64 *bytes);
extern bool table_has_own_estimate(Relation rel);
/* The number of its rows is about to change. */
extern void table_forget_estimate(RelFileNumber relfilenode);

extern void table_modify_reset(void);	/* end of transaction */

/* Deletes what this transaction wrote under a relfilenode. */
extern void table_forget_own(uint8 namespace, RelFileNumber relfilenode, CommandId cid);

#endif							/* BOREALIS_TABLE_AM_H */
