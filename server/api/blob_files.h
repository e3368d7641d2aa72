/// How checkpoints lie in the blob store: "{job}/{checkpoint}/{file}", manifest.json among the
/// files.
///
/// The manifest is published first, when an upload begins, so that files on disk can be told to
/// belong to it; the catalogue entry comes last, and without it a checkpoint does not exist.
/// Removal goes the other way: the entry first, durably, then the blobs. A crash in between leaves
/// blobs without an entry, which the sweeper (blob_sweeper.h) removes.
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

/// Removes the blobs of these checkpoints. A blob that cannot be removed is logged and left to the
/// sweeper. May wait for the disk.
void RemoveBlobs(blob::BlobStore& blobs, const base::JobId& job,
                 const std::vector<base::CheckpointId>& checkpoints);

/// Once `ticket` is durable, removes them on the disk pool, then calls `done`; where the pool is
/// full, leaves them to the sweeper and calls `done` at once.
void RemoveBlobsWhenDurable(Backend& backend, store::Ticket ticket, const base::JobId& job,
                            std::vector<base::CheckpointId> checkpoints,
                            std::function<void()> done);

}  // namespace bsnn::api
