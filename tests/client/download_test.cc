// The SDK's download against a server that cuts, repeats, lies and changes bytes.
#include <gmock/gmock.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "artifact/digest.h"
#include "artifact/manifest.h"
#include "bsnn/v1/checkpoint.grpc.pb.h"
#include "client/sdk/client.h"
#include "tests/support/keep_grpc.h"
#include "tests/worker/support/temp_folder.h"
#include "wire/crc32c.h"
#include "wire/status.h"

namespace bsnn::sdk {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kName[] = "jobs/a/checkpoints/a1-step-00000001";

/// Serves one checkpoint, in chunks of one byte. What it holds is changed between calls only.
class FakeCheckpoints final : public v1::CheckpointService::Service {
 public:
  v1::Checkpoint facts;
  std::map<std::string, std::string> files;
  std::function<void(v1::Chunk&)> spoil = [](v1::Chunk&) {};
  int cut_after = -1;              ///< chunks of the next download of "model" before it is cut
  bool end_early = false;          ///< ... and then it ends with OK
  std::vector<std::string> asked;  ///< "file@offset" of each download

  grpc::Status GetCheckpoint(grpc::ServerContext*, const v1::GetCheckpointRequest* request,
                             v1::Checkpoint* reply) override {
    if (request->name() != facts.name()) return wire::ToGrpc(absl::NotFoundError("no checkpoint"));
    *reply = facts;
    return grpc::Status::OK;
  }

  grpc::Status DownloadCheckpoint(
      grpc::ServerContext*, const v1::DownloadCheckpointRequest* request,
      grpc::ServerWriter<v1::DownloadCheckpointResponse>* writer) override {
    asked.push_back(request->file() + "@" + std::to_string(request->read_offset()));
    EXPECT_EQ(request->if_digest_match(), facts.digest());
    int left = request->file() == "model" ? std::exchange(cut_after, -1) : -1;
    const std::string& bytes = files[request->file()];
    for (auto i = static_cast<size_t>(request->read_offset()); i < bytes.size(); ++i) {
      if (left-- == 0) {
        return end_early ? grpc::Status::OK : wire::ToGrpc(absl::UnavailableError("cut"));
      }
      v1::DownloadCheckpointResponse reply;
      reply.mutable_chunk()->set_offset(static_cast<int64_t>(i));
      reply.mutable_chunk()->set_data(bytes.substr(i, 1));
      reply.mutable_chunk()->set_crc32c(wire::Crc32c(bytes.substr(i, 1)));
      if (request->file() == "model") spoil(*reply.mutable_chunk());
      if (!writer->Write(reply)) break;
    }
    return grpc::Status::OK;
  }
};

class DownloadTest : public testing::Test {
 protected:
  DownloadTest() {
    Store("sixteen bytes...");
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address(), grpc::InsecureServerCredentials());
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
  }
  ~DownloadTest() override {
    server_->Shutdown(gpr_time_0(GPR_CLOCK_MONOTONIC));
    server_->Wait();
  }

  std::string address() const { return "unix:" + (folder_ / "socket").string(); }

  void Store(const std::string& model) {
    const artifact::Manifest manifest{
        .step = 1,
        .epoch = 1,
        .accuracy_ratio = 0.5,
        .spec = "{}",
        .files = {{"model", model.size(), artifact::Sha256Hex(model)}}};
    service_.files = {{"manifest.json", artifact::ToText(manifest)}, {"model", model}};
    service_.facts.Clear();
    service_.facts.set_name(kName);
    service_.facts.set_digest(artifact::Sha256Hex(service_.files["manifest.json"]));
    int64_t size = 0;
    for (const auto& [name, bytes] : service_.files) {
      auto& file = *service_.facts.add_files();
      file.set_name(name);
      file.set_size_bytes(static_cast<int64_t>(bytes.size()));
      file.set_sha256(artifact::Sha256Hex(bytes));
      size += file.size_bytes();
    }
    service_.facts.set_size_bytes(size);
  }

  absl::Status Download(const DownloadCallback& callback = [](const DownloadProgress&) {
    return true;
  }) {
    Client client(address());
    return client.DownloadCheckpoint(kName, target().string(), callback);
  }
  /// Downloads until so many bytes have come, as a Ctrl-C would end it.
  absl::Status DownloadUntil(int64_t bytes) {
    return Download([bytes](const auto& progress) { return progress.bytes_done < bytes; });
  }

  std::filesystem::path target() const { return folder_ / "checkpoint"; }
  std::filesystem::path part() const { return folder_ / "checkpoint.part"; }
  bool IsWhole() const {
    return test::Read(target() / "model") == service_.files.at("model") &&
           test::Read(target() / "manifest.json") == service_.files.at("manifest.json") &&
           !std::filesystem::exists(part());
  }

  test::TempFolder folder_;
  FakeCheckpoints service_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(DownloadTest, EveryFileArrivesAndProgressIsTold) {
  std::vector<int64_t> seen;
  const absl::Status status = Download([&](const DownloadProgress& progress) {
    EXPECT_EQ(progress.bytes_total, service_.facts.size_bytes());
    seen.push_back(progress.bytes_done);
    return true;
  });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(IsWhole());
  ASSERT_EQ(static_cast<int64_t>(seen.size()), service_.facts.size_bytes());
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), service_.facts.size_bytes());
}

TEST_F(DownloadTest, GoesOnWhereItWasStoppedAtEveryByte) {
  const int64_t manifest = service_.facts.files(0).size_bytes();
  for (int64_t stop = 1; stop < service_.facts.files(1).size_bytes(); ++stop) {
    service_.asked.clear();
    EXPECT_TRUE(absl::IsCancelled(DownloadUntil(manifest + stop)));
    EXPECT_FALSE(std::filesystem::exists(target()));
    service_.asked.clear();
    const absl::Status status = Download();
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_TRUE(IsWhole());
    EXPECT_THAT(service_.asked, ElementsAre("model@" + std::to_string(stop)));
    std::filesystem::remove_all(target());
  }
}

TEST_F(DownloadTest, ACutStreamIsResumedWithinOneCall) {
  service_.cut_after = 5;
  const absl::Status status = Download();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(IsWhole());
  EXPECT_THAT(service_.asked, ElementsAre("manifest.json@0", "model@0", "model@5"));
}

TEST_F(DownloadTest, AStreamThatEndsWithoutItsRestIsResumedToo) {
  service_.cut_after = 5;
  service_.end_early = true;
  ASSERT_TRUE(Download().ok());
  EXPECT_THAT(service_.asked, ElementsAre("manifest.json@0", "model@0", "model@5"));
}

TEST_F(DownloadTest, APrefixOfAnotherCheckpointIsThrownAway) {
  const int64_t manifest = service_.facts.files(0).size_bytes();
  EXPECT_TRUE(absl::IsCancelled(DownloadUntil(manifest + 4)));
  Store("SIXTEEN BYTES...");
  service_.asked.clear();
  ASSERT_TRUE(Download().ok());
  EXPECT_TRUE(IsWhole());
  EXPECT_THAT(service_.asked, ElementsAre("manifest.json@0", "model@0"));
}

TEST_F(DownloadTest, APrefixWithAChangedByteIsFoundAndFetchedAnew) {
  EXPECT_TRUE(absl::IsCancelled(DownloadUntil(service_.facts.files(0).size_bytes() + 4)));
  std::ofstream(part() / "model", std::ios::trunc) << "sixtEEn";
  const absl::Status damaged = Download();
  EXPECT_TRUE(absl::IsDataLoss(damaged)) << damaged;
  EXPECT_THAT(std::string(damaged.message()), HasSubstr("SHA-256"));
  EXPECT_FALSE(std::filesystem::exists(target()));
  ASSERT_TRUE(Download().ok());
  EXPECT_TRUE(IsWhole());
}

TEST_F(DownloadTest, AFileLongerThanItShouldBeStartsAnew) {
  EXPECT_TRUE(absl::IsCancelled(DownloadUntil(service_.facts.files(0).size_bytes() + 4)));
  std::ofstream(part() / "model", std::ios::trunc) << "seventeen bytes..";
  ASSERT_TRUE(Download().ok());
  EXPECT_TRUE(IsWhole());
}

TEST_F(DownloadTest, AByteChangedOnItsWayIsFound) {
  service_.spoil = [](v1::Chunk& chunk) {
    if (chunk.offset() == 3) chunk.set_data("X");
  };
  const absl::Status status = Download();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("CRC-32C differs in the chunk at byte 3"));
  EXPECT_FALSE(std::filesystem::exists(target()));
}

TEST_F(DownloadTest, AByteThatWasStoredWronglyIsFound) {
  service_.spoil = [](v1::Chunk& chunk) {
    if (chunk.offset() != 3) return;
    chunk.set_data("X");
    chunk.set_crc32c(wire::Crc32c("X"));
  };
  const absl::Status status = Download();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("SHA-256"));
  EXPECT_FALSE(std::filesystem::exists(target()));
}

TEST_F(DownloadTest, AChunkOutOfPlaceOrBeyondTheEndIsRefused) {
  service_.spoil = [](v1::Chunk& chunk) {
    if (chunk.offset() == 3) chunk.set_offset(2);
  };
  EXPECT_TRUE(absl::IsDataLoss(Download()));
  service_.spoil = [](v1::Chunk& chunk) {
    if (chunk.offset() != 15) return;
    chunk.set_data("..");
    chunk.set_crc32c(wire::Crc32c(".."));
  };
  EXPECT_TRUE(absl::IsDataLoss(Download()));
  EXPECT_FALSE(std::filesystem::exists(target()));
}

TEST_F(DownloadTest, ADigestThatIsNotTheManifestsIsFound) {
  service_.facts.set_digest(std::string(64, '0'));
  const absl::Status status = Download();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_FALSE(std::filesystem::exists(target()));
  EXPECT_FALSE(std::filesystem::exists(part()));
}

TEST_F(DownloadTest, FileNamesThatLeaveTheFolderAreRefused) {
  for (const char* name : {"../model", "/etc/passwd", "a/b", ".digest", "", "Model"}) {
    service_.facts.mutable_files(1)->set_name(name);
    EXPECT_TRUE(absl::IsDataLoss(Download())) << name;
  }
  EXPECT_FALSE(std::filesystem::exists(part()));
  EXPECT_TRUE(service_.asked.empty());
}

TEST_F(DownloadTest, AFolderThatIsThereIsLeftAlone) {
  std::filesystem::create_directories(target());
  test::Append(target() / "mine", "x");
  EXPECT_TRUE(absl::IsAlreadyExists(Download()));
  EXPECT_EQ(test::Read(target() / "mine"), "x");
}

TEST_F(DownloadTest, WhatIsNoNameOfANewFolderIsRefused) {
  Client client(address());
  for (const char* folder : {"", ".", "..", "/", "a/.."}) {
    const absl::Status status =
        client.DownloadCheckpoint(kName, folder, [](auto&) { return true; });
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << folder << status;
  }
}

}  // namespace
}  // namespace bsnn::sdk
