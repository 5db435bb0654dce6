#include <set>

#include "tests/cli/bpfctl.hpp"

using namespace sluice;
using namespace sluice::e2e;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("status, endpoints, drops, metrics and programs show what is there") {
  const Bpfctl bpfctl;
  bpfctl.send_udp(true, 5300);
  bpfctl.lose_packet();

  const auto status = bpfctl.json({"status"});
  CHECK(status.at("datapath") == "loaded");
  CHECK(status.at("endpoints") == 2);
  CHECK(status.at("endpointsReady") == 2);
  CHECK(status.at("programs").size() == 13);
  CHECK(status.at("socketHooks") == 8);
  CHECK(status.at("packetsForwarded") > 0);
  CHECK(status.at("problems").empty());
  CHECK(has(bpfctl.run({"status"}).output, "Pod interfaces  2, 2 ready"));

  CHECK(bpfctl.json({"endpoint", "list"}).size() == 2);
  for (const std::string& which : {std::string("default/web"), std::string("web"), bpfctl.web.address(false).text()}) {
    const auto found = bpfctl.json({"endpoint", "get", which});
    REQUIRE(found.size() == 1);
    CHECK(found[0].at("pod") == "default/web");
    CHECK(found[0].at("addresses").size() == 2);
  }
  CHECK(bpfctl.run({"endpoint", "get", "nobody"}).status == 3);

  const auto drops = bpfctl.json({"drops", "--interval", "0.1"});
  const auto ttl = std::ranges::find_if(drops, [](const auto& row) { return row.at("reason") == "TTL_EXPIRED"; });
  REQUIRE(ttl != drops.end());
  CHECK(ttl->at("packets") == 1);
  CHECK(ttl->at("packetsPerSecond") == 0);
  CHECK(has(bpfctl.run({"drops"}).output, "TTL or hop limit has run out"));

  const auto prometheus = bpfctl.run({"metrics", "-o", "prometheus"}).output;
  CHECK(has(prometheus, "sluice_drop_packets_total{hook=\"from_pod\",reason=\"TTL_EXPIRED\"} 1\n"));
  CHECK(has(prometheus, "# TYPE sluice_map_entries gauge\n"));
  CHECK(bpfctl.json({"metrics"}).at("maps").size() == 9);

  const auto programs = bpfctl.json({"prog", "list"});
  REQUIRE(programs.size() == 13);
  for (const auto& program : programs) {
    const auto name = program.at("name").get<std::string>();
    CAPTURE(name);
    const auto& places = program.at("attachments");
    if (!name.starts_with("sock_")) {
      // Two pods and an uplink; there is no overlay on this node.
      CHECK(places.size() == (name.ends_with("_overlay") ? 0 : name == "from_uplink" ? 1 : 2));
      continue;
    }
    REQUIRE(places.size() == 1);
    CHECK(places[0].at("mode") == "cgroup");
    CHECK(places[0].at("interface") == bpfctl.cluster.root("node-1").cgroup().string());
  }
  CHECK(bpfctl.json({"version"}).at("datapath").is_string());
  CHECK(bpfctl.json({"feature", "probe"}).size() >= 6);
}

TEST_CASE("every map that is pinned can be dumped") {
  const Bpfctl bpfctl;
  bpfctl.send_udp(false, 5300);
  const auto maps = bpfctl.json({"map", "list"});
  CHECK(maps.size() == 21);
  for (const auto& map : maps) {
    const auto name = map.at("name").get<std::string>();
    CAPTURE(name);
    CHECK(bpfctl.json({"map", "dump", name}).is_array());
    CHECK(bpfctl.run({"map", "dump", name}).status == 0);
  }
  CHECK(bpfctl.json({"map", "dump", "endpoints"}).size() == 4);
  CHECK(bpfctl.json({"map", "dump", "runtime"}).at(0).at("epoch") > 0);
  CHECK(bpfctl.run({"map", "dump", "nothing"}).status == 3);
}

TEST_CASE("a pod whose program was taken away is told of") {
  const Bpfctl bpfctl;
  const auto device = bpfctl.json({"endpoint", "get", "web"})[0].at("hostInterface").get<std::string>();
  REQUIRE(bpfctl.cluster.on_node("node-1", {"tc", "filter", "del", "dev", device, "ingress"}).status == 0);
  const auto problems = bpfctl.json({"status"}).at("problems");
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].at("pod") == "default/web");
  CHECK(problems[0].at("problem") == "from_pod is not attached to " + device);
}

TEST_CASE("where nothing is loaded every verb says so, and wrong usage has a status of its own") {
  const auto bpfctl = binary("bpfctl").string();
  for (const Command& words : {Command{"status"},
                               {"flow", "list"},
                               {"flow", "watch"},
                               {"drops"},
                               {"metrics"},
                               {"endpoint", "list"},
                               {"map", "list"},
                               {"map", "dump", "flows"},
                               {"prog", "list"},
                               {"trace", "--from", "10.0.0.5", "--to", "10.0.0.6:80"}}) {
    Command command{bpfctl, "--root", "/run/sluice-no-such-root"};
    command.insert(command.end(), words.begin(), words.end());
    const auto outcome = run(command);
    CAPTURE(outcome.output);
    CHECK(outcome.status == 3);
    CHECK(has(outcome.output, "no datapath is loaded"));
    CHECK(has(outcome.output, "`sluiced load` loads it"));
  }
  for (const Command& command :
       {Command{bpfctl}, {bpfctl, "flow"}, {bpfctl, "flow", "list", "--address", "x"}, {bpfctl, "drops", "-o", "xml"}})
    CHECK(run(command).status == 2);
}

TEST_CASE("completion knows verbs, options and values") {
  const auto bpfctl = binary("bpfctl").string();
  const struct {
    Command line;
    const char* words;
  } rows[] = {{{"flow", ""}, "list\nwatch\n"},
              {{"map", "dump", "f"}, "flows\nfragments\n"},
              {{"flow", "list", "--state", "clos"}, "closed\nclosing\n"},
              {{"flow", "watch", "--reason", "SOURCE_"},
               "SOURCE_FORGED\nSOURCE_MAC\nSOURCE_RANGE\nSOURCE_ROUTED\nSOURCE_SPOOFED\n"},
              {{"--root", "/x", "comp"}, "completion\n"},
              {{"flow", "list", "--proto"}, "--protocol\n"},
              {{"trace", "--from", "n"}, "node\n"}};
  for (const auto& row : rows) {
    Command command{bpfctl, "complete", "--"};
    command.insert(command.end(), row.line.begin(), row.line.end());
    CHECK(run(command).output == row.words);
  }
}

TEST_CASE("bash completes with the script that bpfctl prints") {
  const char* const asks = R"(
    PATH=$1:$PATH
    source <(bpfctl completion bash)
    COMP_WORDS=(bpfctl endp) COMP_CWORD=1
    _bpfctl
    echo "${COMPREPLY[@]}")";
  const auto completed = run({"bash", "-c", asks, "bash", binary("").string()});
  CHECK(completed.output == "endpoint\n");
}

TEST_CASE("zsh completes with the script that bpfctl prints, where it looks for such scripts") {
  // A shell at a terminal, where somebody types two words half, presses TAB behind each, and sees what came of it.
  const char* const types = R"(
    zmodload zsh/zpty
    PATH=$1:$PATH
    home=$(mktemp -d)
    bpfctl completion zsh >$home/_bpfctl
    zpty shell "TERM=dumb ZDOTDIR=$home zsh -f -i"
    zpty -w shell "fpath+=($home); autoload -Uz compinit; compinit -u -D; print rea''dy"
    zpty -r shell screen '*ready*'
    zpty -w -n shell $'bpfctl endp\tl\t\C-aprint comple\'\'ted: \n'
    zpty -r shell screen $'*completed: *\n'
    zpty -d shell
    rm -r $home
    print -r -- "${${screen##*completed: }%%$'\r'*}")";
  const auto completed = run({"timeout", "20", "zsh", "-f", "-c", types, "zsh", binary("").string()});
  CHECK(completed.output == "bpfctl endpoint list\n");
}
