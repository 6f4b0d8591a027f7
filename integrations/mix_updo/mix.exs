defmodule MixUpdo.MixProject do
  use Mix.Project

  def project do
    [
      app: :mix_updo,
      version: "0.1.0",
      elixir: "~> 1.14",
      description: "updo for mix projects: hot code upgrades of the node that runs this build",
      deps: []
    ]
  end

  def application, do: [extra_applications: [:mix]]
end
