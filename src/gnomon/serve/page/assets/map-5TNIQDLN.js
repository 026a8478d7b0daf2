import{d as p}from"./chunk-2NZOV7BE.js";function a({collection:o}){return p("p",{children:o})}export{a as default};
