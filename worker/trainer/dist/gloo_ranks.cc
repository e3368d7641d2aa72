// The only source that sees c10d and Gloo: their headers are heavy, and only pointers to Gloo's
// types may cross into LibTorch, which has another version of it inside.
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include "base/fault.h"
#include "base/limits.h"
#include "worker/trainer/dist/ranks.h"

#ifdef BSNN_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#endif

namespace bsnn::trainer {

#ifdef BSNN_GLOO
namespace {

class GlooRanks final : public Ranks {
 public:
  explicit GlooRanks(const Meeting& meeting) : Ranks(meeting.rank, meeting.size) {
    const std::chrono::milliseconds patience(absl::ToInt64Milliseconds(meeting.patience));
    c10d::TCPStoreOptions store;
    store.port = meeting.port;
    store.isServer = meeting.rank == 0;
    store.numWorkers = static_cast<size_t>(meeting.size);
    store.timeout = patience;
    store_ = c10::make_intrusive<c10d::TCPStore>(meeting.host, store);
    const auto options = c10d::ProcessGroupGloo::Options::create(patience);
    const bool local = meeting.host == "localhost" || meeting.host.starts_with("127.");
    options->devices = {local ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
                              : c10d::ProcessGroupGloo::createDefaultDevice()};
    group_ =
        c10::make_intrusive<c10d::ProcessGroupGloo>(store_, meeting.rank, meeting.size, options);
  }

  void Sum(const at::Tensor& values) override {
    std::vector<at::Tensor> tensors{values};
    Wait([&] { return group_->allreduce(tensors); });
  }

  void TakeFirst(const at::Tensor& values) override {
    std::vector<at::Tensor> tensors{values};
    Wait([&] { return group_->broadcast(tensors); });
  }

 private:
  /// Gloo's exceptions are its own.
  template <class Start>
  void Wait(const Start& start) {
    std::string fault;
    try {
      start()->wait();
    } catch (const std::exception& error) {
      fault = error.what();
    }
    TORCH_CHECK(fault.empty(), "rank ", rank(), " of ", size(),
                " lost another rank, or waited in vain for it: ",
                base::Shorten(fault.substr(0, fault.find("\n")), base::kErrorTextBytesMax));
  }

  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Ranks>> MeetRanks(const Meeting& meeting) {
  std::string fault;
  try {
    return std::make_unique<GlooRanks>(meeting);
  } catch (const c10::Error& error) {
    fault = error.what_without_backtrace();
  } catch (const std::exception& error) {  // Gloo's own
    fault = error.what();
  }
  return absl::UnavailableError(fmt::format("rank {} of {} did not meet the others at {}:{}: {}",
                                            meeting.rank, meeting.size, meeting.host, meeting.port,
                                            base::Shorten(fault, base::kErrorTextBytesMax)));
}

#else

absl::StatusOr<std::unique_ptr<Ranks>> MeetRanks(const Meeting&) {
  return absl::UnimplementedError(
      "this build has no ranks: Gloo's headers (Debian's libgloo-dev) were not there");
}

#endif

}  // namespace bsnn::trainer
