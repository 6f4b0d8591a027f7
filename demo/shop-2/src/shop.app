{application, shop,
 [{description, "A small shop that is upgraded while it sells"},
  {vsn, "2.0.0"},
  {modules, [shop_app, shop_sup, shop_cart_sup, shop_cart_server, shop_checkout, shop_stock,
             shop_price, shop_promo, shop_tax, shop_round, shop_gate, shop_load]},
  {registered, [shop_sup, shop_cart_sup, shop_stock, shop_gate, shop_load]},
  {applications, [kernel, stdlib]},
  {mod, {shop_app, []}},
  %% shop_tax is named here and nowhere in the code, so no cross reference can see who calls it.
  {env, [{carts, 400}, {tax_module, shop_tax}]}]}.
