import{a as e,b as m}from"./chunk-45OJ6NTH.js";m(e());
