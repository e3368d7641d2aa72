#include "server/api/upload_session.h"

#include <functional>

#include "artifact/digest.h"
#include "base/limits.h"
#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class UploadSessionTest : public ApiFixture {
 protected:
  UploadSessionTest() { StartAttempt("a"); }

  std::string Stored(const std::string& file) const {
    const auto bytes = blobs_->Read(*blob::Key::Parse(file), 0, 1 << 20);
    return bytes.ok() ? *bytes : bytes.status().ToString();
  }
};

TEST_F(UploadSessionTest, GoesOnWhereItWasCutAtEveryByte) {
  const std::string bytes = "sixteen bytes...";
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    const auto step = static_cast<int64_t>(100 + cut);
    const artifact::Manifest manifest = ManifestOf(step, {{"model", bytes}, {"none", ""}});
    {
      UploadSession session(*backend_);
      ASSERT_TRUE(session.Begin(BeginOf("a", manifest)).ok());
      if (cut > 0) {
        ASSERT_TRUE(session.Append(ChunkOf("model", 0, bytes.substr(0, cut))).ok());
      }
    }
    UploadSession session(*backend_);
    const auto begun = session.Begin(BeginOf("a", manifest));
    ASSERT_TRUE(begun.ok()) << begun.status();
    ASSERT_EQ(begun->committed_size(), 2);
    EXPECT_EQ(begun->committed(0).file(), "model");
    EXPECT_EQ(begun->committed(0).committed_bytes(), cut);
    if (cut < bytes.size()) {
      EXPECT_EQ(ReasonOf(session.Finish().status()), "UPLOAD_INCOMPLETE");
      ASSERT_TRUE(
          session.Append(ChunkOf("model", static_cast<int64_t>(cut), bytes.substr(cut))).ok());
    }
    const auto published = session.Finish();
    ASSERT_TRUE(published.ok()) << published.status();
    const std::string id = published->value.checkpoint.id.value();
    EXPECT_EQ(Stored("a/" + id + "/model"), bytes);
    EXPECT_EQ(Stored("a/" + id + "/none"), "");
    EXPECT_EQ(Stored("a/" + id + "/manifest.json"), artifact::ToText(manifest));
  }
}

TEST_F(UploadSessionTest, EachWrongFieldOfBeginIsNamed) {
  const auto good = BeginOf("a", ManifestOf(1, {{"model", "abc"}}));
  struct Case {
    std::string field;
    std::function<void(v1::UploadCheckpointRequest::Begin&)> spoil;
  };
  const std::vector<Case> cases = {
      {"begin.worker", [](auto& b) { b.set_worker("w"); }},
      {"begin.job", [](auto& b) { b.set_job("jobs/A"); }},
      {"begin.attempt_epoch", [](auto& b) { b.set_attempt_epoch(0); }},
      {"begin.manifest", [](auto& b) { b.set_manifest("{"); }},
      {"begin.manifest", [](auto& b) { b.set_manifest(std::string(2 << 20, ' ')); }},
      {"begin.manifest", [](auto& b) {
         std::vector<FileToUpload> files;
         for (int i = 0; i < base::kCheckpointFilesMax; ++i) {
           files.push_back({"f" + std::to_string(i), ""});
         }
         b.set_manifest(artifact::ToText(ManifestOf(1, files)));
       }}};
  for (const Case& c : cases) {
    auto begin = good;
    c.spoil(begin);
    UploadSession session(*backend_);
    EXPECT_THAT(FieldsOf(session.Begin(begin).status()), ElementsAre(c.field));
    EXPECT_FALSE(session.begun());
  }
  UploadSession session(*backend_);
  EXPECT_THAT(
      FieldsOf(session.Begin({}).status()),
      UnorderedElementsAre("begin.worker", "begin.job", "begin.attempt_epoch", "begin.manifest"));
}

TEST_F(UploadSessionTest, OnlyTheLiveAttemptMayUpload) {
  auto begin = BeginOf("a", ManifestOf(1, {{"model", "abc"}}));
  begin.set_attempt_epoch(2);
  EXPECT_EQ(ReasonOf(UploadSession(*backend_).Begin(begin).status()), "ATTEMPT_FENCED");
  begin.set_attempt_epoch(1);
  begin.set_worker("workers/other");
  EXPECT_EQ(ReasonOf(UploadSession(*backend_).Begin(begin).status()), "ATTEMPT_FENCED");
  begin.set_job("jobs/nosuch");
  EXPECT_EQ(ReasonOf(UploadSession(*backend_).Begin(begin).status()), "JOB_NOT_FOUND");
}

TEST_F(UploadSessionTest, AnAttemptThatEndsMeanwhileUploadsNoFurther) {
  UploadSession session(*backend_);
  ASSERT_TRUE(session.Begin(BeginOf("a", ManifestOf(1, {{"model", "abc"}}))).ok());
  ASSERT_TRUE(session.Append(ChunkOf("model", 0, "ab")).ok());
  Fail("a");
  EXPECT_EQ(ReasonOf(session.Append(ChunkOf("model", 2, "c"))), "ATTEMPT_FENCED");
}

TEST_F(UploadSessionTest, AChunkStartsAtWhatIsCommitted) {
  UploadSession session(*backend_);
  ASSERT_TRUE(session.Begin(BeginOf("a", ManifestOf(1, {{"model", "abcdef"}}))).ok());
  ASSERT_TRUE(session.Append(ChunkOf("model", 0, "abc")).ok());
  for (const int64_t offset : {0, 2, 4}) {
    const absl::Status status = session.Append(ChunkOf("model", offset, "d"));
    EXPECT_TRUE(absl::IsOutOfRange(status)) << status;
    EXPECT_EQ(ReasonOf(status), "OFFSET_MISMATCH");
    EXPECT_EQ(base::ReasonOf(status).metadata.at("committed_bytes"), "3");
  }
  ASSERT_TRUE(session.Append(ChunkOf("model", 3, "def")).ok());
  EXPECT_TRUE(session.Finish().ok());
}

TEST_F(UploadSessionTest, AChunkOutsideItsFileOrOfNoFileIsNamed) {
  UploadSession session(*backend_);
  ASSERT_TRUE(session.Begin(BeginOf("a", ManifestOf(1, {{"model", "abc"}}))).ok());
  const auto fields = [&](const v1::UploadCheckpointRequest::FileChunk& chunk) {
    return FieldsOf(session.Append(chunk));
  };
  EXPECT_THAT(fields(ChunkOf("other", 0, "a")), ElementsAre("file_chunk.file"));
  EXPECT_THAT(fields(ChunkOf("manifest.json", 0, "a")), ElementsAre("file_chunk.file"));
  EXPECT_THAT(fields(ChunkOf("model", 0, "")), ElementsAre("file_chunk.chunk.data"));
  EXPECT_THAT(fields(ChunkOf("model", 0, std::string(base::kChunkBytes + 1, 'x'))),
              ElementsAre("file_chunk.chunk.data"));
  EXPECT_THAT(fields(ChunkOf("model", -1, "a")), ElementsAre("file_chunk.chunk.offset"));
  EXPECT_THAT(fields(ChunkOf("model", 0, "abcd")), ElementsAre("file_chunk.chunk.offset"));
  EXPECT_THAT(fields(ChunkOf("model", 3, "d")), ElementsAre("file_chunk.chunk.offset"));
  EXPECT_THAT(fields(ChunkOf("model", INT64_MAX, "d")), ElementsAre("file_chunk.chunk.offset"));
  EXPECT_EQ(*blobs_->StagedSize(*blob::Key::Parse("a/a1-step-00000001/model")), 0u);
}

TEST_F(UploadSessionTest, AChunkChangedOnItsWayIsNotTaken) {
  UploadSession session(*backend_);
  ASSERT_TRUE(session.Begin(BeginOf("a", ManifestOf(1, {{"model", "abc"}}))).ok());
  auto changed = ChunkOf("model", 0, "abc");
  changed.mutable_chunk()->set_data("abd");
  const absl::Status status = session.Append(changed);
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_EQ(ReasonOf(status), "CHECKSUM_MISMATCH");
  EXPECT_EQ(stats_.checkpoint_verify_failures, 1);
  ASSERT_TRUE(session.Append(ChunkOf("model", 0, "abc")).ok());
  EXPECT_TRUE(session.Finish().ok());
}

TEST_F(UploadSessionTest, BytesThatAreNotTheManifestsAreDroppedAndSentAnew) {
  const auto begin = BeginOf("a", ManifestOf(1, {{"model", "abc"}}));
  {
    UploadSession session(*backend_);
    ASSERT_TRUE(session.Begin(begin).ok());
    ASSERT_TRUE(session.Append(ChunkOf("model", 0, "abd")).ok());
    const absl::Status status = session.Finish().status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_EQ(ReasonOf(status), "DIGEST_MISMATCH");
    EXPECT_EQ(stats_.checkpoint_verify_failures, 1);
    EXPECT_FALSE(scheduler_->GetCheckpoint(J("a"), C("a1-step-00000001")).ok());
  }
  UploadSession session(*backend_);
  EXPECT_EQ(session.Begin(begin)->committed(0).committed_bytes(), 0);
  ASSERT_TRUE(session.Append(ChunkOf("model", 0, "abc")).ok());
  EXPECT_TRUE(session.Finish().ok());
}

TEST_F(UploadSessionTest, AnotherManifestOfTheSameStepStartsAnew) {
  UploadSession cut(*backend_);
  ASSERT_TRUE(cut.Begin(BeginOf("a", ManifestOf(1, {{"model", "abcdef"}}))).ok());
  ASSERT_TRUE(cut.Append(ChunkOf("model", 0, "abc")).ok());
  UploadSession session(*backend_);
  const auto begun = session.Begin(BeginOf("a", ManifestOf(1, {{"model", "xyz"}})));
  ASSERT_TRUE(begun.ok()) << begun.status();
  EXPECT_EQ(begun->committed(0).committed_bytes(), 0);
  ASSERT_TRUE(session.Append(ChunkOf("model", 0, "xyz")).ok());
  ASSERT_TRUE(session.Finish().ok());
  EXPECT_EQ(Stored("a/a1-step-00000001/model"), "xyz");
}

TEST_F(UploadSessionTest, APublishedCheckpointIsToldAtOnceAndNeverReplaced) {
  const auto record = Publish("a", 1, {{"model", "abc"}});
  UploadSession again(*backend_);
  const auto begun = again.Begin(BeginOf("a", ManifestOf(1, {{"model", "abc"}})));
  ASSERT_TRUE(begun.ok()) << begun.status();
  EXPECT_EQ(begun->published().digest(), record.digest);
  EXPECT_FALSE(again.begun());
  UploadSession other(*backend_);
  const absl::Status status = other.Begin(BeginOf("a", ManifestOf(1, {{"model", "xyz"}}))).status();
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_EQ(ReasonOf(status), "CHECKPOINT_ID_TAKEN");
  EXPECT_EQ(Stored("a/a1-step-00000001/model"), "abc");
}

}  // namespace
}  // namespace bsnn::api
