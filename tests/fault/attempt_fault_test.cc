// The worker's work folder and the trainer's events on a disk whose n-th call fails, for every n.
#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/file.h"
#include "spec/event.h"
#include "spec/job_spec.h"
#include "tests/fault/sweep.h"
#include "worker/launcher/attempt_folder.h"
#include "worker/trainer/train/event_writer.h"

namespace bsnn {
namespace {

namespace fs = std::filesystem;

uint64_t SameBits() { return 42; }

/// Opens the work folder, takes an identity and makes an attempt's folder.
class Attempts : public test::FaultRun {
 public:
  void Prepare(const fs::path& folder) override {
    const auto work = launcher::WorkFolder::Open(folder / "work");
    ASSERT_TRUE(work->TakeIdentity("", "host", "one", SameBits).ok());
    id_ = work->TakeIdentity("", "host", "two", SameBits)->id;
    ASSERT_TRUE(
        launcher::MakeAttemptFolder(work->AttemptPath({*base::JobId::Make("old"), 1}), {}).ok());
  }

  void Do(const fs::path& folder) override {
    const auto work = launcher::WorkFolder::Open(folder / "work");
    if (!Succeeded(work.status())) return;
    const auto identity = work->TakeIdentity("", "host", "three", SameBits);
    if (Succeeded(identity.status())) {
      EXPECT_EQ(identity->id, id_);
      EXPECT_EQ(identity->replaces, "two");
    }
    const fs::path attempt = work->AttemptPath({*base::JobId::Make("new"), 1});
    made_ = Succeeded(launcher::MakeAttemptFolder(attempt, {}));
    test::Append(attempt / "trainer.log", std::string(1000, 'x') + "\n");
    (void)Succeeded(launcher::TrimLog(attempt / "trainer.log", 500, 100));
  }

  void Check(const fs::path& folder) override {
    if (made_) ExpectWhole(folder / "work" / "attempts" / "new.1");
    const auto work = launcher::WorkFolder::Open(folder / "work");
    ASSERT_TRUE(work.ok()) << work.status();
    const auto identity = work->TakeIdentity("", "host", "four", SameBits);
    ASSERT_TRUE(identity.ok()) << identity.status();
    EXPECT_EQ(identity->id, id_);
    EXPECT_TRUE(identity->replaces == "two" || identity->replaces == "three");
    const fs::path attempt = work->AttemptPath({*base::JobId::Make("new"), 1});
    ASSERT_TRUE(launcher::MakeAttemptFolder(attempt, {}).ok());
    ExpectWhole(attempt);
  }

 private:
  static bool Succeeded(const absl::Status& status) {
    EXPECT_TRUE(status.ok() || test::SaysWhatFailed(status)) << status;
    return status.ok();
  }
  static void ExpectWhole(const fs::path& attempt) {
    EXPECT_EQ(test::Read(attempt / "spec.json"), spec::CanonicalText(spec::JobSpec()) + "\n");
    EXPECT_TRUE(fs::is_directory(attempt / "checkpoints"));
  }

  std::string id_;
  bool made_ = false;
};

TEST(AttemptFaults, LeaveAWorkFolderThatOpensWithTheSameIdentity) {
  test::Sweep([] { return std::make_unique<Attempts>(); }, 10);
}

/// Writes events, and goes on in the same file.
class Events : public test::FaultRun {
 public:
  void Do(const fs::path& folder) override {
    for (const bool continued : {false, true}) {
      auto writer =
          trainer::EventWriter::Open(folder / "events.jsonl", continued, base::RealClock());
      if (!writer.ok()) {
        EXPECT_TRUE(test::SaysWhatFailed(writer.status())) << writer.status();
        if (!continued) return;  // the run ends; it is begun again below
        continue;
      }
      for (int i = 0; i < 3; ++i) {
        const bool was_ok = writer->status().ok();
        writer->Write(spec::LogLine{spec::Severity::kInfo, "line " + std::to_string(written_)});
        if (writer->status().ok()) {
          ++written_;
        } else if (was_ok) {
          EXPECT_TRUE(test::SaysWhatFailed(writer->status())) << writer->status();
          EXPECT_NE(writer->status().message().find("events.jsonl"), std::string::npos);
        }
      }
    }
  }

  void Check(const fs::path& folder) override {
    {
      auto writer = trainer::EventWriter::Open(folder / "events.jsonl", true, base::RealClock());
      ASSERT_TRUE(writer.ok()) << writer.status();
      writer->Write(spec::LogLine{spec::Severity::kInfo, "last"});
    }
    const std::string text = test::Read(folder / "events.jsonl");
    int64_t lines = 0;
    for (size_t begin = 0; begin < text.size(); ++lines) {
      const size_t end = text.find('\n', begin);
      ASSERT_NE(end, text.npos) << "a torn line is kept";
      const auto event = spec::ParseEventLine(text.substr(begin, end - begin));
      ASSERT_TRUE(event.ok()) << event.status();
      EXPECT_EQ(event->sequence, lines + 1);
      begin = end + 1;
    }
    EXPECT_EQ(lines, written_ + 1) << "an event that was written is lost, or one is there twice";
  }

 private:
  int64_t written_ = 0;
};

TEST(EventFaults, LoseNoEventThatWasWritten) {
  test::Sweep([] { return std::make_unique<Events>(); }, 8);
}

}  // namespace
}  // namespace bsnn
