#include "server/api/worker_messages.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/limits.h"
#include "tests/server/api/api_fixture.h"
#include "wire/event.h"

namespace bsnn::api {
namespace {

using testing::ElementsAre;

template <class Request>
struct Spoilt {
  std::string field;
  std::function<void(Request&)> spoil;
};

/// Spoils a good request in each way and expects just that field to be named.
template <class Request>
void ExpectNamed(const Request& good, const std::vector<Spoilt<Request>>& cases) {
  ASSERT_TRUE(FromProto(good).ok()) << FromProto(good).status();
  for (const auto& c : cases) {
    Request request = good;
    c.spoil(request);
    const auto read = FromProto(request);
    EXPECT_THAT(FieldsOf(read.status()), ElementsAre(c.field)) << read.status();
  }
}

v1::RegisterWorkerRequest Registration() {
  v1::RegisterWorkerRequest request;
  request.set_worker_id("desk");
  request.set_incarnation("i1");
  request.set_version("0.1.0");
  request.set_hostname("desk.local");
  for (int i = 0; i < 2; ++i) {
    auto& slot = *request.add_slots();
    slot.set_index(i);
    slot.set_device(i == 0 ? "cpu" : "cuda");
    slot.set_description("H100");
    slot.set_memory_bytes(80);
  }
  (*request.mutable_labels())["rack"] = "r1";
  auto& set = *request.mutable_data_sets()->add_data_sets();
  set.set_name("cifar10");
  set.set_fingerprint("f1");
  request.mutable_data_sets()->add_data_sets()->set_name("of_a_newer_worker");
  request.set_spec_version(7);
  request.set_replaces_incarnation("i0");
  return request;
}

TEST(RegisterWorkerMessage, EveryFieldArrives) {
  const auto worker = FromProto(Registration());
  ASSERT_TRUE(worker.ok()) << worker.status();
  EXPECT_EQ(worker->id, W("desk"));
  EXPECT_EQ(worker->incarnation, "i1");
  EXPECT_EQ(worker->version, "0.1.0");
  EXPECT_EQ(worker->hostname, "desk.local");
  EXPECT_THAT(worker->slots, ElementsAre(store::Slot{0, spec::Device::kCpu, "H100", 80},
                                         store::Slot{1, spec::Device::kCuda, "H100", 80}));
  EXPECT_THAT(worker->labels, ElementsAre(std::pair("rack", "r1")));
  EXPECT_EQ(worker->spec_version, 7);
  EXPECT_EQ(worker->replaces_incarnation, "i0");
  ASSERT_TRUE(worker->data_sets.has_value());
  EXPECT_THAT(*worker->data_sets, ElementsAre(store::DataSet{spec::DataName::kCifar10, "f1"}));
}

TEST(RegisterWorkerMessage, AWorkerOfBeforeSaysNothingOfDataAndReadsTheFirstSpecs) {
  auto request = Registration();
  request.clear_data_sets();
  request.clear_spec_version();
  const auto worker = FromProto(request);
  ASSERT_TRUE(worker.ok()) << worker.status();
  EXPECT_FALSE(worker->data_sets.has_value());
  EXPECT_EQ(worker->spec_version, 1);
}

TEST(RegisterWorkerMessage, EachWrongFieldIsNamed) {
  ExpectNamed<v1::RegisterWorkerRequest>(
      Registration(),
      {{"worker_id", [](auto& r) { r.set_worker_id("Desk"); }},
       {"worker_id", [](auto& r) { r.set_worker_id(""); }},
       {"incarnation", [](auto& r) { r.set_incarnation(""); }},
       {"incarnation", [](auto& r) { r.set_incarnation(std::string(65, 'x')); }},
       {"version", [](auto& r) { r.set_version(std::string(129, 'x')); }},
       {"hostname", [](auto& r) { r.set_hostname(std::string(254, 'x')); }},
       {"slots", [](auto& r) { r.clear_slots(); }},
       {"slots",
        [](auto& r) {
          while (r.slots_size() <= base::kSlotsPerWorkerMax) *r.add_slots() = r.slots(0);
        }},
       {"slots[1].index", [](auto& r) { r.mutable_slots(1)->set_index(-1); }},
       {"slots[1].index", [](auto& r) { r.mutable_slots(1)->set_index(base::kSlotsPerWorkerMax); }},
       {"slots[0].device", [](auto& r) { r.mutable_slots(0)->set_device("any"); }},
       {"slots[0].description",
        [](auto& r) { r.mutable_slots(0)->set_description(std::string(129, 'x')); }},
       {"slots[1].memory_bytes", [](auto& r) { r.mutable_slots(1)->set_memory_bytes(-1); }},
       {"labels.Rack", [](auto& r) { (*r.mutable_labels())["Rack"] = ""; }},
       {"data_sets.data_sets[0].fingerprint",
        [](auto& r) {
          r.mutable_data_sets()->mutable_data_sets(0)->set_fingerprint(std::string(65, 'x'));
        }},
       {"data_sets.data_sets",
        [](auto& r) {
          for (int i = 0; i < 64; ++i) r.mutable_data_sets()->add_data_sets();
        }},
       {"spec_version", [](auto& r) { r.set_spec_version(-1); }},
       {"replaces_incarnation",
        [](auto& r) { r.set_replaces_incarnation(std::string(65, 'x')); }}});
}

v1::SynchronizeRequest Report() {
  v1::SynchronizeRequest request;
  request.set_worker("workers/desk");
  request.set_incarnation("i1");
  request.set_draining(true);
  auto& attempt = *request.add_attempts();
  attempt.set_job("jobs/first");
  attempt.set_epoch(2);
  attempt.set_phase(v1::AttemptReport::STOPPING);
  attempt.set_events_pending(11);
  attempt.set_upload_bytes_left(12);
  request.set_number(13);
  return request;
}

TEST(SynchronizeMessage, EveryFieldArrives) {
  const auto request = FromProto(Report());
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->worker, W("desk"));
  EXPECT_EQ(request->incarnation, "i1");
  EXPECT_TRUE(request->draining);
  ASSERT_EQ(request->attempts.size(), 1u);
  EXPECT_EQ(request->attempts[0].job, J("first"));
  EXPECT_EQ(request->attempts[0].epoch, 2);
  EXPECT_EQ(request->attempts[0].phase, scheduler::Phase::kStopping);
  EXPECT_EQ(request->attempts[0].events_pending, 11);
  EXPECT_EQ(request->attempts[0].upload_bytes_left, 12);
  EXPECT_EQ(request->number, 13);
}

TEST(SynchronizeMessage, EachWrongFieldIsNamed) {
  using Phase = v1::AttemptReport::Phase;
  ExpectNamed<v1::SynchronizeRequest>(
      Report(),
      {{"worker", [](auto& r) { r.set_worker("desk"); }},
       {"incarnation", [](auto& r) { r.set_incarnation(""); }},
       {"attempts[0].job", [](auto& r) { r.mutable_attempts(0)->set_job("first"); }},
       {"attempts[0].epoch", [](auto& r) { r.mutable_attempts(0)->set_epoch(0); }},
       {"attempts[0].phase", [](auto& r) { r.mutable_attempts(0)->clear_phase(); }},
       {"attempts[0].events_pending",
        [](auto& r) { r.mutable_attempts(0)->set_events_pending(-1); }},
       {"attempts[0].upload_bytes_left",
        [](auto& r) { r.mutable_attempts(0)->set_upload_bytes_left(-1); }},
       {"attempts[0].rank", [](auto& r) { r.mutable_attempts(0)->set_rank(1); }},
       {"attempts[0].meeting", [](auto& r) { r.mutable_attempts(0)->set_meeting("host:1"); }},
       {"number", [](auto& r) { r.set_number(-1); }},
       {"attempts[0].phase",
        [](auto& r) { r.mutable_attempts(0)->set_phase(static_cast<Phase>(5)); }},
       {"attempts", [](auto& r) {
          while (r.attempts_size() <= 1000) *r.add_attempts() = r.attempts(0);
        }}});
}

TEST(SynchronizeMessage, OrdersSayWhatTheirActionNeeds) {
  auto spec = std::make_shared<spec::JobSpec>();
  spec->training.epochs = 9;
  scheduler::SynchronizeReply reply;
  reply.next_call = absl::Milliseconds(1500);
  reply.orders.push_back({.job = J("first"),
                          .epoch = 2,
                          .action = scheduler::Action::kRun,
                          .slot = 1,
                          .spec = spec::SharedSpec(*spec),
                          .checkpoints = {C("a1-step-00000007"), C("a1-step-00000003")}});
  reply.orders.push_back({.job = J("second"),
                          .epoch = 1,
                          .action = scheduler::Action::kStop,
                          .grace = absl::Seconds(30)});
  const v1::SynchronizeResponse message = ToProto(reply);
  EXPECT_EQ(message.next_call().seconds(), 1);
  EXPECT_EQ(message.next_call().nanos(), 500'000'000);
  ASSERT_EQ(message.orders_size(), 2);
  const v1::AttemptOrder& run = message.orders(0);
  EXPECT_EQ(run.action(), v1::AttemptOrder::RUN);
  EXPECT_EQ(run.job(), "jobs/first");
  EXPECT_EQ(run.epoch(), 2);
  EXPECT_EQ(run.slot(), 1);
  EXPECT_EQ(run.spec().training().epochs(), 9);
  EXPECT_THAT(run.checkpoints(), ElementsAre("jobs/first/checkpoints/a1-step-00000007",
                                             "jobs/first/checkpoints/a1-step-00000003"));
  EXPECT_FALSE(run.has_grace());
  const v1::AttemptOrder& stop = message.orders(1);
  EXPECT_EQ(stop.action(), v1::AttemptOrder::STOP);
  EXPECT_EQ(stop.grace().seconds(), 30);
  EXPECT_FALSE(stop.has_spec());
}

v1::PublishEventsRequest Events() {
  v1::PublishEventsRequest request;
  request.set_worker("workers/desk");
  request.set_job("jobs/first");
  request.set_epoch(2);
  *request.add_events() = wire::ToProto(spec::Event{
      .sequence = 5, .time = absl::FromUnixSeconds(9), .kind = spec::LogLine{.message = "a"}});
  return request;
}

TEST(PublishEventsMessage, EveryFieldArrives) {
  const auto batch = FromProto(Events());
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(batch->worker, W("desk"));
  EXPECT_EQ(batch->job, J("first"));
  EXPECT_EQ(batch->epoch, 2);
  ASSERT_EQ(batch->events.size(), 1u);
  EXPECT_EQ(batch->events[0].sequence, 5);
  EXPECT_EQ(std::get<spec::LogLine>(batch->events[0].kind).message, "a");
}

TEST(PublishEventsMessage, EachWrongFieldIsNamed) {
  ExpectNamed<v1::PublishEventsRequest>(Events(),
                                        {{"worker", [](auto& r) { r.set_worker("workers/"); }},
                                         {"job", [](auto& r) { r.set_job("jobs/../x"); }},
                                         {"epoch", [](auto& r) { r.set_epoch(0); }},
                                         {"events", [](auto& r) { r.clear_events(); }},
                                         {"events", [](auto& r) {
                                            while (r.events_size() <= base::kEventsPerBatchMax) {
                                              *r.add_events() = r.events(0);
                                            }
                                          }}});
}

TEST(PublishEventsMessage, AFaultOfAnEventIsNamedWithItsPlace) {
  auto request = Events();
  *request.add_events() = request.events(0);
  request.mutable_events(1)->clear_log();
  const auto fields = FieldsOf(FromProto(request).status());
  ASSERT_EQ(fields.size(), 1u);
  EXPECT_TRUE(fields[0].starts_with("events[1].")) << fields[0];
}

TEST(WorkerMessage, EveryFieldIsSent) {
  scheduler::WorkerView view;
  view.record.id = W("desk");
  view.record.slots = {{1, spec::Device::kCuda, "H100", 80}};
  view.record.version = "0.1.0";
  view.record.hostname = "desk.local";
  view.record.register_time = absl::FromUnixSeconds(3);
  view.record.last_seen_time = absl::FromUnixSeconds(4);
  view.state = scheduler::WorkerState::kDraining;
  view.slots_used = 1;
  view.jobs = {J("first")};
  const v1::Worker worker = ToProto(view);
  EXPECT_EQ(worker.name(), "workers/desk");
  EXPECT_EQ(worker.state(), v1::Worker::DRAINING);
  EXPECT_EQ(worker.slots_used(), 1);
  EXPECT_EQ(worker.version(), "0.1.0");
  EXPECT_EQ(worker.hostname(), "desk.local");
  EXPECT_EQ(worker.register_time().seconds(), 3);
  EXPECT_EQ(worker.last_seen_time().seconds(), 4);
  EXPECT_THAT(worker.jobs(), ElementsAre("jobs/first"));
  ASSERT_EQ(worker.slots_size(), 1);
  EXPECT_EQ(worker.slots(0).index(), 1);
  EXPECT_EQ(worker.slots(0).device(), "cuda");
  EXPECT_EQ(worker.slots(0).description(), "H100");
  EXPECT_EQ(worker.slots(0).memory_bytes(), 80);
}

}  // namespace
}  // namespace bsnn::api
