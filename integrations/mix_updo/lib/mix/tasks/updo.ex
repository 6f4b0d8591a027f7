defmodule Mix.Tasks.Updo do
  @shortdoc "Hot code upgrades of the node that runs this project"

  @moduledoc """
  Finds the build, the node and the cookie of a project, and runs updo with them.

      mix updo keep       # keep copies of what runs, for the way back
      mix updo preview    # compile, compare, show the upgrade; changes nothing
      mix updo rehearse   # compile, try conversions on copies of live states
      mix updo run        # compile, show the upgrade, ask, do it
      mix updo check      # check the plans of this project

  A plan or a node may follow, and any flag of the command of updo. The exit code is that of updo.

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
  `~/.erlang.cookie`). Where none of these is set and the node is one of a release: the `cookie` of that
  release, or its file `releases/COOKIE`. It is given to updo in the environment, never as an argument.

  ## The build

  Where the code path of the node is this build (`iex -S mix`), updo reads it there; otherwise the beams of
  `_build` are pushed. `updo: [plan: "plans/shop.updo", executable: "/path/to/updo"]` names a plan and the
  binary; the plan of a project is `plan.updo`, or the only one in `plans/`.
  """

  use Mix.Task

  @commands ~w(check keep preview rehearse run)
  @builds ~w(preview rehearse run)

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
    {named, flags} = named(args)
    {subject, node, env} = subject(named, flags, updo)

    if command in @builds do
      # Before the files change. A node that is not there is reported by the command itself.
      captured(updo, ["status", subject, "--save", "--quiet"], env)
      Mix.Task.run("compile")
      build = [subject] ++ push(subject, node, updo, env) ++ flags
      yes = "--yes" in flags or "-y" in flags
      ended(upgrade(command, updo, build, yes, env))
    else
      ended(updo(updo, ["status", subject, "--save"] ++ flags, env))
    end
  end

  # The exit code of updo says what has become of the node: it is that of mix, too.
  defp ended(0), do: :ok
  defp ended(code), do: System.halt(code)

  defp upgrade("run", updo, args, false, env) do
    # It lies with the beams: who can write one can write the other.
    script = Path.join([Mix.Project.build_path(), "updo", "upgrade.script"])
    File.mkdir_p!(Path.dirname(script))

    # 3: there is something to do.
    with 3 <- updo(updo, ["preview" | args] ++ ["-o", script, "--exit-code"], env) do
      if yes?(IO.gets("Run it? Type yes: ")) do
        updo(updo, ["run", script, "--yes", "--quiet"], env)
      else
        Mix.raise("nothing was changed: the answer was not `yes` (without a terminal: --yes)")
      end
    end
  end

  defp upgrade(command, updo, args, _yes, env), do: updo(updo, [command | args], env)

  defp yes?(line) when is_binary(line), do: String.trim(line) == "yes"
  defp yes?(_), do: false

  # ---- the build

  # What the build changed goes to the node, unless the node's code path is this build.
  defp push(node, node, updo, env) do
    apps = apps()

    if same_disk?(apps, node, updo, env) do
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
  defp push(_plan, _node, _updo, _env), do: []

  # Whether the file of an application on the node's code path is, to the inode, that of this build.
  defp same_disk?(apps, node, updo, env) do
    names = apps |> Enum.map(&:io_lib.format("~tp", [&1])) |> Enum.intersperse(",")

    asked =
      "[case code:lib_dir(A) of {error, _} -> none; D -> " <>
        "F = filename:join([D, \"ebin\", atom_to_list(A) ++ \".app\"]), " <>
        "case file:read_file_info(F, [{time, posix}]) of " <>
        "{ok, I} -> {element(2, I), element(6, I), element(10, I), element(12, I)}; _ -> none end end " <>
        "|| A <- [#{names}]]"

    with {0, text} <- captured(updo, ["eval", node, asked, "--syntax", "erlang"], env),
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

  defp given(flags), do: flag(flags, ["-t", "--target"]) || env("UPDO_TARGET")

  defp flag([name, value | _], [short, long]) when name in [short, long], do: value

  defp flag(["--" <> _ = word | rest], [_, long] = names) do
    case String.split(word, "=", parts: 2) do
      [^long, value] -> value
      _ -> flag(rest, names)
    end
  end

  defp flag([_ | rest], names), do: flag(rest, names)
  defp flag([], _), do: nil

  defp node(flags, updo) do
    cond do
      node = given(flags) -> node
      node = config(:node) -> to_string(node)
      node = env("RELEASE_NODE") -> full(node, :short)
      true -> found(Enum.uniq(stated()), updo)
    end
  end

  # Of several names that one that is up; of names that nothing states, only one that is up.
  defp found([node], _updo), do: node

  defp found(stated, updo) do
    names = if stated == [], do: guessed(), else: stated

    case {Enum.filter(names, &up?(&1, updo)), stated} do
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

  defp up?(node, updo) do
    match?({0, _}, captured(updo, ["eval", node, "ok", "--quiet"], cookie(node)))
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

  # That of the release of the node's name, for the environment of updo. What the operator, or a plan, says
  # counts more; without any updo takes ~/.erlang.cookie as erl does.
  defp cookie(node) do
    name = node |> String.split("@") |> hd()
    releases = releases()

    # Mix makes a release of the application's name where none is stated.
    name = if name in releases, do: name, else: hd(releases ++ [to_string(hd(apps()))])
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

  # What is wrong is said by the command that was asked for.
  defp captured(updo, args, env) do
    {text, code} =
      System.cmd("sh", ["-c", "exec \"$0\" \"$@\" 2>/dev/null", updo | args], env: env)

    {code, text}
  end

  defp charlists(env), do: for({name, value} <- env, do: {to_charlist(name), to_charlist(value)})
end
