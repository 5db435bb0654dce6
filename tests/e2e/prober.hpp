/// Many connections at once: servers on every port of every place, and what gets through to them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "maps/fd.hpp"
#include "tests/e2e/cluster.hpp"
#include "tests/policy/truth.hpp"

namespace sluice::e2e {

/// By the names that they have in a table.
using Places = std::map<std::string, const Place*>;

class Prober {
 public:
  /// UDP and TCP servers in all of these places, which must live on.
  Prober(Places places, const std::vector<std::uint16_t>& ports);

  /// What is not as `want` says: a line for each, empty where all is. A datagram gets through when it has arrived and
  /// its answer, too, a connection when it is established. Ends as soon as all that is wanted has got through, and what
  /// is not wanted would have; what of that comes later is told by the next call.
  std::string differences(const std::vector<test::TruthProbe>& probes, const std::vector<bool>& want);

 private:
  struct Server {
    Fd udp, listener;
  };
  struct Client {
    std::map<bool, Fd> udp;  ///< by family
  };
  struct Try;

  void send(const std::vector<test::TruthProbe>& probes, std::vector<Try>& tries);
  void receive(std::vector<Try>& tries);

  Places places_;
  std::vector<Server> servers_;
  std::map<std::string, Client> clients_;
  std::uint32_t round_ = 0;
  std::string late_;
};

}  // namespace sluice::e2e
