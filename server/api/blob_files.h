/// How checkpoints lie in the blob store: "{job}/{checkpoint}/{file}", manifest.json among the
/// files.
///
/// The manifest is published first, when an upload begins, so that files on disk can be told to
/// belong to it; the catalogue entry comes last, and without it a checkpoint does not exist.
/// Removal goes the other way: the entry first, durably, then the blobs. A crash in between leaves
/// blobs without an entry, which SweepOrphans removes at the next start.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <string>
#include <vector>

#include "blob/blob_store.h"
#include "server/api/backend.h"
#include "server/store/records.h"

namespace bsnn::api {

/// `file` has been checked (a name of a manifest, or of a record).
blob::Key FileKey(const base::JobId& job, const base::CheckpointId& checkpoint,
                  const std::string& file);
blob::Key CheckpointKey(const base::JobId& job, const base::CheckpointId& checkpoint);

/// Every checkpoint of the job that has blobs, published or not. May wait for the disk.
absl::StatusOr<std::vector<base::CheckpointId>> ListStoredCheckpoints(blob::BlobStore& blobs,
                                                                      const base::JobId& job);

/// Once `ticket` is durable, removes the blobs of these checkpoints on the disk pool, then calls
/// `done`. A blob that cannot be removed is logged and left to the sweep of the next start.
void RemoveBlobsWhenDurable(Backend& backend, store::Ticket ticket, const base::JobId& job,
                            std::vector<base::CheckpointId> checkpoints,
                            std::function<void()> done);

/// Reads every file of a checkpoint and compares size and SHA-256. DataLoss naming the file, with
/// reason DIGEST_MISMATCH. May wait for the disk.
absl::Status VerifyStored(const blob::BlobStore& blobs, const store::CheckpointRecord& record);

/// Removes blobs that belong to no checkpoint of the catalogue and to no live attempt. May wait for
/// the disk. Errors are logged: orphans cost room, nothing else.
void SweepOrphans(Backend& backend);

}  // namespace bsnn::api
