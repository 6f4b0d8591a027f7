defmodule Shapes.Counter do
  use GenServer
  defstruct [:id, name: "none", tags: []]

  def start_link(arg), do: GenServer.start_link(__MODULE__, arg, name: Shapes.Name)
  def start_other(arg), do: GenServer.start_link(Shapes.Other, arg, timeout: arg, name: Shapes.Built)
  def add(n), do: GenServer.call(Shapes.Name, {:add, n})
  def children(x), do: [{Registry, keys: :unique, name: Shapes.Registry}, x]
  def init(arg), do: {:ok, arg}
end
