/// Requests and replies of unary calls on an arena of the call's own: a job's message has a dozen
/// messages in it, which would else be allocated and freed one by one.
#pragma once

#include <google/protobuf/arena.h>
#include <grpcpp/support/message_allocator.h>

#include <array>

namespace bsnn::api {

/// For SetMessageAllocatorFor_<Method>. Thread-safe.
template <class Request, class Reply>
class ArenaMessages final : public grpc::MessageAllocator<Request, Reply> {
 public:
  grpc::MessageHolder<Request, Reply>* AllocateMessages() override { return new Holder; }

 private:
  class Holder final : public grpc::MessageHolder<Request, Reply> {
   public:
    Holder() : arena_(block_.data(), block_.size()) {
      this->set_request(google::protobuf::Arena::CreateMessage<Request>(&arena_));
      this->set_response(google::protobuf::Arena::CreateMessage<Reply>(&arena_));
    }
    void Release() override { delete this; }

   private:
    alignas(8) std::array<char, 2048> block_;  // most calls need no more
    google::protobuf::Arena arena_;
  };
};

}  // namespace bsnn::api
