/// SIGTERM and SIGINT as a flag that every loop of the trainer polls.
#pragma once

namespace bsnn::trainer {

/// From now on SIGTERM and SIGINT set the flag. A second SIGINT ends the program at once.
void InstallStopFlag();
bool StopRequested();

}  // namespace bsnn::trainer
