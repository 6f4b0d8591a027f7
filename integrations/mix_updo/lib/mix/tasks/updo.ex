defmodule Mix.Tasks.Updo do
  @shortdoc "Hot code upgrades of the node that runs this project"

  @moduledoc """
  Finds the build, the node and the cookie of a project, and runs updo with them.

      mix updo keep       # keep copies of what runs, for the way back
      mix updo preview    # compile, compare, show the upgrade; changes nothing
      mix updo rehearse   # compile, try conversions on copies of live states
      mix updo run        # compile, show the upgrade, ask, do it
      mix updo check      # check the plans of this project

  A plan or a node may follow, and any flag of the command of updo. The exit code is that of updo. Where a
  command of this task is several of updo (copies, preview, run), each gets the flags that it has.

  The task decides nothing about an upgrade. Before it compiles, it lets updo keep copies of what runs
  (a node cannot give back the code that it has loaded). The question of a run is asked here, since a
  program that Erlang starts cannot read the terminal; what is run then is the script that was shown, or
  nothing.

  ## The node

  The first of: `-t`, `UPDO_TARGET`, `updo: [node: "NAME@HOST"]` in the project of `mix.exs`,
  `RELEASE_NODE`; then what the project's releases state (`RELEASE_NODE` in `rel/env.sh.eex`, `-name` or
  `-sname` in `rel/vm.args.eex`); then a node of the name of the application or of a release on this machine.
  Of several, the one that is up.

  ## The cookie

  As updo finds it (`--cookie-file`, `UPDO_COOKIE_FILE`, `UPDO_COOKIE`, the plan, `RELEASE_COOKIE`,
  `~/.erlang.cookie`). Where RELEASE_COOKIE is not set and the node is one of a release (by its name, or
  because `rel/` or RELEASE_NODE state it): the `cookie` of that release, or its file `releases/COOKIE`. It
  is given to updo in the environment, never as an argument.

  ## The build

  Where the code path of the node is this build (`iex -S mix`), updo reads it there; otherwise the beams of
  `_build` are pushed. `updo: [plan: "plans/shop.updo", executable: "/path/to/updo"]` names a plan and the
  binary; the plan of a project is `plan.updo`, or the only one in `plans/`.
  """

  use Mix.Task

  @commands ~w(check keep preview rehearse run)
  @builds ~w(preview rehearse run)

  # Which flags go where when one command here is several of updo. How a node is connected to: to all.
  @connection ~w(--cookie-file --name -C)
  # What is upgraded: to all but the run of a script, which has its nodes and parameters.
  @subject ~w(-t --target -s --set)
  # Of every command, but without a meaning for copies.
  @output ~w(--color --no-unicode --width --no-pager --json -v --verbose --log-file --no-input)
  # Those that `updo run` has, and `updo preview` has not (a test compares); every other one is for the
  # preview, which refuses what it does not know before anything is asked.
  @run_only ~w(--batch --budget --canary-only --deadline --detach --events --from --lock-timeout --message
    --no-rehearsal --no-undo --no-verify --only-node --pause --report --report-junit --soak)

  @impl true
  def run(args) do
    Mix.Project.get!()
    updo = executable()

    case args do
      [command | rest] when command in @commands -> command(command, rest, updo)
      [] -> Mix.raise("say which: mix updo #{Enum.join(@commands, "|")}")
      [other | _] -> Mix.raise(unknown(other))
    end
  end

  defp unknown(command) do
    "`#{command}` is not one of #{Enum.join(@commands, ", ")}; " <>
      "other commands of updo need no build: updo #{command}"
  end

  defp command("check", args, updo) do
    {named, flags} = named(args)
    plans = if named, do: [named], else: plans()

    if plans == [] do
      Mix.shell().info(
        "No plan here (plan.updo, plans/*.updo): nothing to check. " <>
          "What updo infers without one: mix updo preview"
      )
    else
      ended(updo(updo, ["check" | plans] ++ flags, []))
    end
  end

  defp command(command, args, updo) do
    {named, words} = named(args)
    flags = flags(words)
    {subject, node, env} = subject(named, flags, updo)

    if command in @builds do
      # Before the files change.
      keep(updo, subject, flags, env)
      Mix.Task.run("compile")
      build = [subject] ++ push(subject, node, flags, updo, env)
      ended(upgrade(command, updo, build, flags, env))
    else
      ended(updo(updo, ["status", subject, "--save"] ++ words, env))
    end
  end

  # Goes on without copies: the command itself says whether the upgrade then has a way back.
  defp keep(updo, subject, flags, env) do
    args = ["status", subject] ++ of(flags, @connection ++ @subject) ++ ["--save", "--quiet"]

    with {code, why} when code != 0 <- captured(updo, args, env, "2>&1 >/dev/null") do
      Mix.shell().error("No copies of what runs were kept (exit code #{code}):\n#{why}")
    end
  end

  # The exit code of updo says what has become of the node: it is that of mix, too.
  defp ended(0), do: :ok
  defp ended(code), do: System.halt(code)

  defp upgrade("run", updo, build, flags, env) do
    if of(flags, ~w(-y --yes --dry-run)) == [] do
      asked(updo, build, flags, env)
    else
      updo(updo, ["run" | build] ++ Enum.concat(flags), env)
    end
  end

  defp upgrade(command, updo, build, flags, env) do
    updo(updo, [command | build] ++ Enum.concat(flags), env)
  end

  defp asked(updo, build, flags, env) do
    # It lies with the beams: who can write one can write the other.
    script = Path.join([Mix.Project.build_path(), "updo", "upgrade.script"])
    File.mkdir_p!(Path.dirname(script))

    # 3: there is something to do.
    preview =
      ["preview" | build] ++ (flags |> Enum.reject(&(name(&1) in @run_only)) |> Enum.concat())

    with 3 <- updo(updo, preview ++ ["-o", script, "--exit-code"], env) do
      if yes?(IO.gets("Run it? Type yes: ")) do
        more = of(flags, @connection ++ @output ++ ["--strict"] ++ @run_only)
        # A script has its nodes: updo refuses another target, of a variable as well.
        env = List.keystore(env, "UPDO_TARGET", 0, {"UPDO_TARGET", nil})
        updo(updo, ["run", script, "--yes", "--quiet"] ++ more, env)
      else
        Mix.raise("nothing was changed: the answer was not `yes` (without a terminal: --yes)")
      end
    end
  end

  defp yes?(line) when is_binary(line), do: String.trim(line) == "yes"
  defp yes?(_), do: false

  # ---- flags

  # Each flag with its values: what follows it up to the next one, since no value of updo begins with `-`.
  defp flags([]), do: []

  defp flags([word | rest]) do
    {values, more} = Enum.split_while(rest, &(not String.starts_with?(&1, "-")))

    # `-qy` is `-q` and `-y`.
    case Regex.run(~r/^-([qvy]{2,})$/, word) do
      [_, letters] -> for(<<letter <- letters>>, do: [<<?-, letter>>]) ++ flags(values ++ more)
      nil -> [[word | values] | flags(more)]
    end
  end

  # The words of the flags with these names.
  defp of(flags, names), do: for(flag <- flags, name(flag) in names, word <- flag, do: word)

  defp name(["--" <> _ = word | _]), do: word |> String.split("=", parts: 2) |> hd()
  defp name(["-" <> _ = word | _]), do: String.slice(word, 0, 2)
  defp name([word | _]), do: word

  # `-t NODE`, `--target NODE`, `--target=NODE`, `-tNODE`.
  defp value(flags, names) do
    case Enum.find(flags, &(name(&1) in names)) do
      nil -> nil
      [_, value | _] -> value
      ["--" <> word] -> word |> String.split("=", parts: 2) |> Enum.at(1)
      [<<_, _, value::binary>>] -> String.trim_leading(value, "=")
    end
  end

  # ---- the build

  # What the build changed goes to the node, unless the node's code path is this build.
  defp push(node, node, flags, updo, env) do
    apps = apps()

    if same_disk?(apps, node, flags, updo, env) do
      []
    else
      lib = Path.join(Mix.Project.build_path(), "lib")
      deps = Mix.Project.deps_paths() |> Map.keys() |> List.delete(:mix_updo)
      folders = for app <- apps ++ deps, do: Path.join([lib, Atom.to_string(app), "ebin"])
      folders = folders ++ [Mix.Project.consolidation_path()]
      for folder <- Enum.uniq(folders), File.dir?(folder), word <- ["--push", folder], do: word
    end
  end

  # A plan says itself where new code is.
  defp push(_plan, _node, _flags, _updo, _env), do: []

  # Whether the file of an application on the node's code path is, to the inode, that of this build.
  defp same_disk?(apps, node, flags, updo, env) do
    names = apps |> Enum.map(&:io_lib.format("~tp", [&1])) |> Enum.intersperse(",")

    asked =
      "[case code:lib_dir(A) of {error, _} -> none; D -> " <>
        "F = filename:join([D, \"ebin\", atom_to_list(A) ++ \".app\"]), " <>
        "case file:read_file_info(F, [{time, posix}]) of " <>
        "{ok, I} -> {element(2, I), element(6, I), element(10, I), element(12, I)}; _ -> none end end " <>
        "|| A <- [#{names}]]"

    asked = ["eval", node, asked, "--syntax", "erlang"] ++ of(flags, @connection)

    with {0, text} <- captured(updo, asked, env),
         {:ok, tokens, _} <- :erl_scan.string(String.to_charlist(text <> ".")),
         {:ok, there} when is_list(there) <- :erl_parse.parse_term(tokens) do
      apps |> Enum.map(&here/1) |> Enum.zip(there) |> Enum.any?(fn {a, b} -> a == b end)
    else
      _ -> false
    end
  end

  defp here(app) do
    file = Path.join([Mix.Project.build_path(), "lib", "#{app}", "ebin", "#{app}.app"])

    case :file.read_file_info(file, time: :posix) do
      {:ok, i} -> {elem(i, 1), elem(i, 5), elem(i, 9), elem(i, 11)}
      _ -> :no_file
    end
  end

  defp apps do
    case Mix.Project.apps_paths() do
      nil -> [Mix.Project.config()[:app]]
      paths -> Map.keys(paths)
    end
  end

  # ---- what is meant: a plan or a node

  # The first word that is no flag: a plan or a node.
  defp named(["-" <> _ | _] = flags), do: {nil, flags}
  defp named([word | flags]), do: {word, flags}
  defp named([]), do: {nil, []}

  defp subject(named, flags, updo) do
    plan =
      cond do
        named == nil -> only(plans())
        String.ends_with?(named, ".updo") -> named
        true -> nil
      end

    cond do
      named != nil and plan == nil ->
        {named, named, cookie(named)}

      plan != nil and given(flags) == nil and target?(plan) ->
        {plan, nil, []}

      true ->
        node = node(flags, updo)
        # The plan gets it as UPDO_TARGET would give it: a target of the plan, or a node.
        env = if plan, do: [{"UPDO_TARGET", node}], else: []
        {plan || node, node, env ++ cookie(node)}
    end
  end

  defp only([plan]), do: plan
  defp only(_), do: nil

  defp given(flags), do: value(flags, ["-t", "--target"]) || env("UPDO_TARGET")

  defp node(flags, updo) do
    cond do
      node = given(flags) -> node
      node = config(:node) -> to_string(node)
      node = env("RELEASE_NODE") -> full(node, :short)
      true -> found(Enum.uniq(stated()), flags, updo)
    end
  end

  # Of several names that one that is up; of names that nothing states, only one that is up.
  defp found([node], _flags, _updo), do: node

  defp found(stated, flags, updo) do
    names = if stated == [], do: guessed(), else: stated

    case {Enum.filter(names, &up?(&1, flags, updo)), stated} do
      {[node], _} ->
        node

      {[], []} ->
        Mix.raise(
          "no node is known. updo looks at -t, UPDO_TARGET, updo: [node: \"NAME@HOST\"] in mix.exs, " <>
            "RELEASE_NODE, rel/env.sh.eex, rel/vm.args.eex, and for a node of the application's name. " <>
            "Give it: mix updo COMMAND -t NAME@HOST"
        )

      {[], names} ->
        several(names)

      {names, _} ->
        several(names)
    end
  end

  defp several(names) do
    Mix.raise("several nodes could be meant: #{Enum.join(names, ", ")}. Say which: -t NAME@HOST")
  end

  defp up?(node, flags, updo) do
    asked = ["eval", node, "ok", "--quiet"] ++ of(flags, @connection)
    match?({0, _}, captured(updo, asked, cookie(node)))
  end

  defp guessed do
    for name <- Enum.uniq(Enum.map(apps(), &to_string/1) ++ releases()),
        node <- Enum.uniq([name <> "@localhost", full(name, :short)]),
        do: node
  end

  # What the files of the releases state.
  defp stated do
    env = named_in("rel/env.sh.eex", ~r/^\s*export\s+RELEASE_NODE=["']?([^"'\s#]+)/m)
    long = named_in("rel/vm.args.eex", ~r/^\s*-name\s+(\S+)/m)
    short = named_in("rel/vm.args.eex", ~r/^\s*-sname\s+(\S+)/m)

    Enum.map(env ++ short, &full(&1, :short)) ++ Enum.map(long, &full(&1, :long))
  end

  # Names that only the start of the node knows (`<%= … %>`, `$(…)`, `${…}`) are none here.
  defp named_in(file, pattern) do
    case File.read(file) do
      {:ok, text} ->
        for [_, name] <- Regex.scan(pattern, text), not (name =~ ~r/[$<`]/), do: name

      _ ->
        []
    end
  end

  defp releases do
    for {name, _} <- Mix.Project.config()[:releases] || [], do: to_string(name)
  end

  # As erl completes the name of a node.
  defp full(name, kind) do
    cond do
      name =~ "@" ->
        name

      kind == :long ->
        "#{name}@#{:net_adm.localhost()}"

      true ->
        {:ok, host} = :inet.gethostname()
        "#{name}@#{host}"
    end
  end

  # ---- the cookie

  # That of the node's release, for the environment of updo. What the operator, or a plan, says counts more;
  # without any updo takes ~/.erlang.cookie as erl does.
  defp cookie(node) do
    case release(node) do
      nil -> []
      name -> cookie_of(name)
    end
  end

  # The one of the node's name, else the first where files of the releases state the node. Every other node
  # was started by something else, and has another cookie.
  defp release(node) do
    # Mix makes a release of the application's name where none is stated.
    names = with [] <- releases(), do: [to_string(hd(apps()))]
    name = node |> String.split("@") |> hd()
    exported = env("RELEASE_NODE")

    cond do
      name in names -> name
      node in stated() or (exported && full(exported, :short) == node) -> hd(names)
      true -> nil
    end
  end

  defp cookie_of(name) do
    config = Mix.Project.config()[:releases] || []

    stated =
      Enum.find_value(config, fn {key, opts} ->
        to_string(key) == name && options(opts)[:cookie]
      end)

    file = Path.join([Mix.Project.build_path(), "rel", name, "releases", "COOKIE"])

    cond do
      env("RELEASE_COOKIE") -> []
      stated -> [{"RELEASE_COOKIE", stated}]
      match?({:ok, _}, File.read(file)) -> [{"RELEASE_COOKIE", File.read!(file)}]
      true -> []
    end
  end

  defp options(opts) when is_function(opts, 0), do: opts.()
  defp options(opts), do: opts

  # ---- plans and settings

  defp plans do
    case config(:plan) do
      nil -> Enum.filter(["plan.updo"], &File.regular?/1) ++ Path.wildcard("plans/*.updo")
      plan -> [plan]
    end
  end

  defp target?(plan) do
    case File.read(plan) do
      {:ok, text} -> text =~ ~r/^\s*target\s/m
      _ -> true
    end
  end

  defp config(key), do: (Mix.Project.config()[:updo] || [])[key]

  defp env(name) do
    case System.get_env(name) do
      "" -> nil
      value -> value
    end
  end

  # ---- the binary

  defp executable do
    named = env("UPDO") || config(:executable) || "updo"

    System.find_executable(named) ||
      Mix.raise(
        "the binary `#{named}` is not in the path; name it: export UPDO=/path/to/updo, " <>
          "or updo: [executable: \"/path/to/updo\"] in the project of mix.exs"
      )
  end

  # On the terminal of mix.
  defp updo(updo, args, env) do
    port =
      Port.open({:spawn_executable, updo}, [
        :nouse_stdio,
        :exit_status,
        args: args,
        env: charlists(env)
      ])

    receive do
      {^port, {:exit_status, code}} -> code
    end
  end

  # Without errors: what is wrong is said by the command that was asked for.
  defp captured(updo, args, env, streams \\ "2>/dev/null") do
    {text, code} =
      System.cmd("sh", ["-c", "exec \"$0\" \"$@\" #{streams}", updo | args], env: env)

    {code, text}
  end

  # `nil`: not set.
  defp charlists(env) do
    for {name, value} <- env, do: {to_charlist(name), value != nil && to_charlist(value)}
  end
end
