/// The states of a server-streaming call, and what each event leads to. No locks, no gRPC.
///
///     kIdle --woken--> kQueued --begun--> kFilling --filled--> kWriting --written--> kQueued ...
///                                         kFilling --nothing--> kIdle
///
/// A call that is cancelled while a task, the source or a write is under way is kEnding: whoever
/// completes that finishes the call. kDone is final: Finish has been called.
#pragma once

namespace bsnn::api {

class StreamStates {
 public:
  enum class Event {
    kWoken,      ///< there may be something new
    kRefused,    ///< the pool did not take the task
    kBegun,      ///< the task runs
    kFilled,     ///< the source gave a message
    kNothing,    ///< the source has nothing now
    kEnded,      ///< the source is at its end, or failed
    kWritten,    ///< the message has gone
    kCancelled,  ///< the caller is gone
  };
  enum class Action {
    kNone,
    kSubmit,  ///< put a task into the pool
    kFill,    ///< ask the source
    kWrite,   ///< send the message
    kFinish,  ///< end the call: with the event's own status, or as cancelled after kCancelled
  };

  Action Next(Event event);

 private:
  enum class State {
    kIdle,
    kQueued,
    kFilling,
    kFillingAgain,  ///< woken while the source was being asked: it is asked once more
    kWriting,
    kEnding,
    kDone,
  };

  Action Go(State state, Action action) {
    state_ = state;
    return action;
  }

  State state_ = State::kIdle;
};

}  // namespace bsnn::api
