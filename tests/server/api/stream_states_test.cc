// The states of a stream, one event after the other.
#include "server/api/stream_states.h"

#include <gtest/gtest.h>

namespace bsnn::api {
namespace {

using Event = StreamStates::Event;
using Action = StreamStates::Action;

struct Row {
  Event event;
  Action action;
};

void Expect(const std::vector<Row>& rows) {
  StreamStates states;
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(states.Next(rows[i].event), rows[i].action) << "row " << i;
  }
}

TEST(StreamStates, AsksSendsAndAsksAgainUntilThereIsNothing) {
  Expect({{Event::kWoken, Action::kSubmit},
          {Event::kBegun, Action::kFill},
          {Event::kFilled, Action::kWrite},
          {Event::kWritten, Action::kSubmit},
          {Event::kBegun, Action::kFill},
          {Event::kNothing, Action::kNone},
          {Event::kWoken, Action::kSubmit}});
}

TEST(StreamStates, AWakeDuringTheQuestionAsksOnceMore) {
  Expect({{Event::kWoken, Action::kSubmit},
          {Event::kWoken, Action::kNone},
          {Event::kBegun, Action::kFill},
          {Event::kWoken, Action::kNone},
          {Event::kWoken, Action::kNone},
          {Event::kNothing, Action::kSubmit},
          {Event::kBegun, Action::kFill},
          {Event::kNothing, Action::kNone}});
}

TEST(StreamStates, ACancelledStreamFinishesOnceWheneverThatComes) {
  Expect({{Event::kCancelled, Action::kFinish}, {Event::kWoken, Action::kNone}});
  Expect({{Event::kWoken, Action::kSubmit},
          {Event::kCancelled, Action::kNone},
          {Event::kBegun, Action::kFinish},
          {Event::kCancelled, Action::kNone}});
  for (const Event answer : {Event::kFilled, Event::kNothing, Event::kEnded}) {
    Expect({{Event::kWoken, Action::kSubmit},
            {Event::kBegun, Action::kFill},
            {Event::kCancelled, Action::kNone},
            {Event::kWoken, Action::kNone},
            {answer, Action::kFinish},
            {Event::kWoken, Action::kNone}});
  }
  Expect({{Event::kWoken, Action::kSubmit},
          {Event::kBegun, Action::kFill},
          {Event::kFilled, Action::kWrite},
          {Event::kCancelled, Action::kNone},
          {Event::kWritten, Action::kFinish}});
}

TEST(StreamStates, AFullPoolEndsIt) {
  Expect({{Event::kWoken, Action::kSubmit},
          {Event::kRefused, Action::kFinish},
          {Event::kCancelled, Action::kNone}});
  Expect({{Event::kWoken, Action::kSubmit},
          {Event::kCancelled, Action::kNone},
          {Event::kRefused, Action::kFinish}});
}

}  // namespace
}  // namespace bsnn::api
