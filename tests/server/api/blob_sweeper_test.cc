// What the sweeper removes, and when.
#include "server/api/blob_sweeper.h"

#include <thread>

#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

using testing::ElementsAre;

class BlobSweeperTest : public ApiFixture {
 protected:
  void Stage(const std::string& key) {
    ASSERT_TRUE(blobs_->Append(*blob::Key::Parse(key), 0, "abc").ok());
  }
  std::vector<std::string> Stored(const std::string& job) {
    std::vector<std::string> keys;
    const std::vector<blob::BlobInfo> blobs = *blobs_->List(*blob::Key::Parse(job));
    for (const auto& info : blobs) keys.push_back(info.key.text());
    return keys;
  }
  void Sweep(const std::string& job) { SweepJob(*scheduler_, *blobs_, clock_, J(job)); }
};

TEST_F(BlobSweeperTest, KeepsTheCatalogueAndTheLiveAttemptsUpload) {
  StartAttempt("a");
  Publish("a", 1, {{"model", "abc"}});
  Stage("a/a1-step-00000002/model");  // attempt 1 is live: its upload may go on
  Stage("a/a0-step-00000002/model");  // of no live attempt
  Stage("a/other/model");
  Sweep("a");
  EXPECT_THAT(Stored("a"), ElementsAre("a/a1-step-00000001/manifest.json",
                                       "a/a1-step-00000001/model", "a/a1-step-00000002/model"));
  Fail("a");
  Sweep("a");
  EXPECT_THAT(Stored("a"),
              ElementsAre("a/a1-step-00000001/manifest.json", "a/a1-step-00000001/model"));
}

TEST_F(BlobSweeperTest, WalksOverEveryJobsFolder) {
  Stage("nosuch/a1-step-00000001/model");
  Stage("other/a1-step-00000001/model");
  BlobSweeper sweeper(*scheduler_, *blobs_, clock_, {.pause = absl::ZeroDuration()});
  while (!Stored("nosuch").empty() || !Stored("other").empty()) std::this_thread::yield();
}

TEST_F(BlobSweeperTest, SweepsAJobThatItIsAskedForWhileItRests) {
  BlobSweeper sweeper(*scheduler_, *blobs_, clock_, {});
  Stage("late/a1-step-00000001/model");
  sweeper.Sweep(J("late"));
  while (!Stored("late").empty()) std::this_thread::yield();
  sweeper.Stop();
  Stage("late/a1-step-00000001/model");
  sweeper.Sweep(J("late"));
  EXPECT_THAT(Stored("late"), ElementsAre("late/a1-step-00000001/model"));
}

TEST_F(BlobSweeperTest, TheHubTellsOfEndedAttemptsOnceThatIsDurable) {
  std::vector<std::string> told;
  ChangeHub hub(store_, [&](const base::JobId& job) { told.push_back(job.value()); });
  store_.Hold();
  const auto made = scheduler_->CreateJob(backend_->Now(), {.wanted_id = "x"});
  ASSERT_TRUE(made.ok());
  hub.OnChanges(made->ticket, {{.job = J("a"), .status = true},
                               {.job = J("b"), .ended = true},
                               {.job = J("c"), .placed = true},
                               {.job = J("d"), .deleted = true}});
  EXPECT_TRUE(told.empty());
  store_.Release();
  EXPECT_THAT(told, ElementsAre("b", "c", "d"));
}

}  // namespace
}  // namespace bsnn::api
