// Kills this process at its n-th call that changes a file.
#pragma once

namespace sealcast::kill {

enum class Where {
  before,  // the call does nothing
  torn,    // a write does half of its bytes; other calls as before
  after,   // the call does all, and its caller never knows
};

// nth: 1 is the next such call; 0: never. Preloaded into a program the same comes from the environment:
// KILL_AT (nth) and KILL_WHERE (before, torn, after), counted from the program's start.
void at(long nth, Where where);
// Calls so far, since the last at().
long calls();

}  // namespace sealcast::kill
