// Blobs on a disk whose n-th call fails, for every n: what was acknowledged is there, and a caller
// that goes on where it was told gets its file published.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "artifact/digest.h"
#include "blob/file/file_blob_store.h"
#include "tests/fault/sweep.h"

namespace bsnn::blob {
namespace {

Key KeyOf(const std::string& text) { return *Key::Parse(text); }

class Uploads : public test::FaultRun {
 public:
  void Do(const std::filesystem::path& folder) override {
    absl::StatusOr<std::unique_ptr<FileBlobStore>> store = FileBlobStore::Make(folder / "blobs");
    if (!store.ok()) return ExpectWords(store.status());
    Upload(**store, "a/one");
    Upload(**store, "a/two");
    Delete(**store, "a/one");
    Upload(**store, "b/three");
  }

  void Check(const std::filesystem::path& folder) override {
    auto store = FileBlobStore::Make(folder / "blobs");  // as after a restart
    ASSERT_TRUE(store.ok()) << store.status();
    for (const std::string& key : published_) {
      const auto bytes = (*store)->Read(KeyOf(key), 0, 1 << 20);
      ASSERT_TRUE(bytes.ok()) << bytes.status();
      EXPECT_EQ(*bytes, ContentOf(key));
    }
    for (const std::string& key : deleted_) {
      EXPECT_TRUE(absl::IsNotFound((*store)->Stat(KeyOf(key)).status()));
    }
    for (const char* key : {"a/one", "a/two", "b/three"}) {
      published_.erase(key);
      Upload(**store, key);
      EXPECT_TRUE(published_.contains(key)) << key << " cannot be uploaded any more";
    }
  }

 private:
  static std::string ContentOf(const std::string& key) {
    return key + std::string(100'000, key.back());
  }

  static void ExpectWords(const absl::Status& status) {
    EXPECT_TRUE(test::SaysWhatFailed(status)) << status;
  }

  /// As the API does it: goes on where the store says, at most three times.
  void Upload(FileBlobStore& store, const std::string& key) {
    const std::string content = ContentOf(key);
    for (int attempt = 0; attempt < 3; ++attempt) {
      const absl::Status status = TryUpload(store, KeyOf(key), content);
      if (status.ok()) {
        published_.insert(key);
        deleted_.erase(key);
        return;
      }
      ExpectWords(status);
      EXPECT_EQ(status.message().find("/tmp"), std::string::npos) << status;
    }
  }

  static absl::Status TryUpload(FileBlobStore& store, const Key& key, const std::string& content) {
    absl::StatusOr<uint64_t> size = store.StagedSize(key);
    if (!size.ok()) return size.status();
    const std::string_view rest = std::string_view(content).substr(*size);
    for (const std::string_view part :
         {rest.substr(0, rest.size() / 2), rest.substr(rest.size() / 2)}) {
      if (part.empty()) continue;
      size = store.Append(key, *size, part);
      if (!size.ok()) return size.status();
    }
    return store.Commit(key, content.size(), artifact::Sha256Hex(content));
  }

  void Delete(FileBlobStore& store, const std::string& key) {
    // From here on neither is promised until the deletion is acknowledged.
    published_.erase(key);
    const absl::Status status = store.Delete(KeyOf(key));
    if (status.ok()) {
      deleted_.insert(key);
    } else {
      ExpectWords(status);
    }
  }

  std::set<std::string> published_, deleted_;
};

TEST(BlobFaults, LoseNothingThatWasAcknowledged) {
  test::Sweep([] { return std::make_unique<Uploads>(); }, 20);
}

}  // namespace
}  // namespace bsnn::blob
