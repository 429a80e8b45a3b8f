// Why an OpenNetVM NF's packets are dropped; the names are what hbctl shows.
#pragma once

#include <string>
#include <vector>

namespace hb::onvm {

enum DropBy : unsigned {
  kDropped,        ///< the NF said ONVM_NF_ACTION_DROP, or its chain ended
  kFreed,          ///< the NF called rte_pktmbuf_free
  kNoService,      ///< TONF to a number that no service has
  kNoPort,         ///< OUT to a port that is not there
  kUnknownAction,  ///< an action that means nothing
  kQueueFull,      ///< return_pkt found the NF's tx_q full
  kNotSendable,    ///< segments or data that do not fit one packet
  kMalformed,      ///< header fields that do not hold together
  kLeaving,        ///< sent by an NF that was ending, to itself or as its own
};

inline std::vector<std::string> drop_reason_names() {
  return {"dropped", "freed",        "no_service", "no_port", "unknown_action",
          "tx_full", "not_sendable", "malformed",  "leaving"};
}

}  // namespace hb::onvm
