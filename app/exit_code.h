// Exit codes of the tool and the daemons (docs/operator.md).
#pragma once

namespace sealcast::app {

enum ExitCode : int {
  ok = 0,
  failed = 1,
  usage = 2,
  unreachable = 3,         // no daemon behind the admin socket
  partial = 4,             // several things were asked for and some of them failed
  unknown_name = 5,        // no member or user of that name is known; nothing was done
  bad_configuration = 78,  // EX_CONFIG of sysexits.h
};

}  // namespace sealcast::app
