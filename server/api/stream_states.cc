#include "server/api/stream_states.h"

namespace bsnn::api {

StreamStates::Action StreamStates::Next(Event event) {
  if (state_ == State::kDone) return Action::kNone;
  switch (event) {
    case Event::kWoken:
      if (state_ == State::kIdle) return Go(State::kQueued, Action::kSubmit);
      if (state_ == State::kFilling) return Go(State::kFillingAgain, Action::kNone);
      return Action::kNone;
    case Event::kCancelled:
      if (state_ == State::kIdle) return Go(State::kDone, Action::kFinish);
      return Go(State::kEnding, Action::kNone);
    case Event::kRefused:
    case Event::kEnded:
      return Go(State::kDone, Action::kFinish);
    case Event::kBegun:
      if (state_ == State::kEnding) return Go(State::kDone, Action::kFinish);
      return Go(State::kFilling, Action::kFill);
    case Event::kFilled:
      if (state_ == State::kEnding) return Go(State::kDone, Action::kFinish);
      return Go(State::kWriting, Action::kWrite);
    case Event::kNothing:
      if (state_ == State::kEnding) return Go(State::kDone, Action::kFinish);
      if (state_ == State::kFillingAgain) return Go(State::kQueued, Action::kSubmit);
      return Go(State::kIdle, Action::kNone);
    case Event::kWritten:
      if (state_ == State::kEnding) return Go(State::kDone, Action::kFinish);
      return Go(State::kQueued, Action::kSubmit);
  }
  return Action::kNone;
}

}  // namespace bsnn::api
